// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/xattr_family.h"

namespace ovl {
namespace {

constexpr std::string_view kEscape = "overlay.";

std::string_view prefix(XattrFamily family) {
  return family == XattrFamily::kTrusted ? "trusted.overlay." : "user.overlay.";
}

}  // namespace

std::string overlay_xattr(XattrFamily family, std::string_view what) {
  return std::string(prefix(family)) + std::string(what);
}

bool makes_the_tree(XattrFamily family, std::string_view stored) {
  if (!stored.starts_with(prefix(family)))
    return false;
  const std::string_view what = stored.substr(prefix(family).size());
  return what == "opaque" || what == "redirect" || what == "metacopy";
}

std::optional<std::string> guest_xattr_name(XattrFamily family,
                                            std::string_view stored) {
  if (!stored.starts_with(prefix(family)))
    return std::string(stored);
  std::string_view rest = stored.substr(prefix(family).size());
  if (!rest.starts_with(kEscape))
    return std::nullopt;
  rest.remove_prefix(kEscape.size());
  return overlay_xattr(family, rest);
}

std::string stored_xattr_name(XattrFamily family, std::string_view guest) {
  if (!guest.starts_with(prefix(family)))
    return std::string(guest);
  const std::string_view rest = guest.substr(prefix(family).size());
  return overlay_xattr(family, std::string(kEscape) + std::string(rest));
}

bool is_carried_xattr(std::string_view name) {
  if (is_acl_twin(name))
    return false;
  return name.starts_with("user.") || name.starts_with("trusted.") ||
         name.starts_with("security.") || name == "system.posix_acl_access" ||
         name == "system.posix_acl_default";
}

bool is_acl_twin(std::string_view name) {
  return name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT";
}

}  // namespace ovl
