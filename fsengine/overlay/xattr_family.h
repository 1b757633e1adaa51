// SPDX-License-Identifier: BSD-3-Clause
//
// The two prefixes that overlayfs keeps its own attributes under, and how a
// guest's attributes with such a name are escaped (kernel documentation of
// overlayfs, "Nesting overlayfs mounts").
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ovl {

/// `trusted.overlay.` or, for `mount -o userxattr`, `user.overlay.`.
enum class XattrFamily { kTrusted, kUser };

/// Our own mark on an empty regular file that stands for a character device
/// 0:0, which as itself would be a whiteout; its value is "0:0".
inline constexpr const char* kNullDeviceMark = "ovl.chardev";

/// The stored name of an attribute of overlayfs itself, such as "opaque".
std::string overlay_xattr(XattrFamily family, std::string_view what);

/// True for stored names without which overlayfs would show another tree. An
/// object cannot do without them.
bool makes_the_tree(XattrFamily family, std::string_view stored);

/// The name that the guest sees for a stored one: the same for a foreign
/// name, one `overlay.` less for an escaped one, nothing for a private one.
std::optional<std::string> guest_xattr_name(XattrFamily family,
                                            std::string_view stored);

/// The name that a guest's attribute is stored under.
std::string stored_xattr_name(XattrFamily family, std::string_view guest);

/// True for names that a layer's object shows to a guest at all: user,
/// trusted, security and POSIX ACLs. The rest belongs to the host.
bool is_carried_xattr(std::string_view name);

/// The second names that XFS lists ACLs under, with bytes of their own. What is
/// done to one name is done to the other: carried beside an ACL that changed it
/// would bring back the old one, and removed it takes both.
bool is_acl_twin(std::string_view name);

}  // namespace ovl
