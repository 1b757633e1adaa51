// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/layout_parameters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ovl {

std::vector<Parameter> layout_parameters(const ImageOptions& options,
                                         XattrFamily family) {
  const bool is_total = options.size.kind == SizeRequest::Kind::kTotal;
  const std::string uuid =
      options.uuid ? fmt::format("{:02x}", fmt::join(*options.uuid, ""))
                   : "from the lower layers";
  return {
      {"type", options.type == FsType::kExt4 ? "ext4" : "ext2"},
      {"size", fmt::format("{}{}", is_total ? "" : "+", options.size.bytes)},
      {"label", options.label},
      {"uuid", uuid},
      {"journal", options.journal ? "yes" : "no"},
      {"userxattr", family == XattrFamily::kUser ? "yes" : "no"}};
}

}  // namespace ovl
