// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/layout_parameters.h"

#include <cerrno>
#include <charconv>
#include <map>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ovl {

namespace {

const char* const kDerivedUuid = "from the lower layers";

std::optional<Uuid> parse_uuid(std::string_view text) {
  Uuid uuid{};
  if (text.size() != 2 * uuid.size())
    return std::nullopt;
  for (size_t i = 0; i < uuid.size(); ++i) {
    const char* first = text.data() + 2 * i;
    const auto end = std::from_chars(first, first + 2, uuid[i], 16);
    if (end.ptr != first + 2)
      return std::nullopt;
  }
  return uuid;
}

std::optional<SizeRequest> parse_size(std::string_view text) {
  SizeRequest size;
  size.kind = text.starts_with('+') ? SizeRequest::Kind::kFreeSpace
                                    : SizeRequest::Kind::kTotal;
  if (text.starts_with('+'))
    text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, size.bytes).ptr != end || text.empty())
    return std::nullopt;
  return size;
}

}  // namespace

Result<ImageOptions> image_options(const LayoutRecord& record) {
  std::map<std::string_view, std::string_view> values;
  for (const Parameter& parameter : record.parameters)
    values[parameter.name] = parameter.value;
  const auto size = parse_size(values["size"]);
  const bool is_derived = values["uuid"] == kDerivedUuid;
  ImageOptions options;
  options.type = values["type"] == "ext4" ? FsType::kExt4 : FsType::kExt2;
  options.label = values["label"];
  options.journal = values["journal"] == "yes";
  if (!is_derived)
    options.uuid = parse_uuid(values["uuid"]);
  if (!size || (!is_derived && !options.uuid))
    return fail(EUCLEAN, "layout: its parameters make no sense");
  options.size = *size;
  return options;
}

std::vector<Parameter> layout_parameters(const ImageOptions& options,
                                         XattrFamily family) {
  const bool is_total = options.size.kind == SizeRequest::Kind::kTotal;
  const std::string uuid =
      options.uuid ? fmt::format("{:02x}", fmt::join(*options.uuid, ""))
                   : kDerivedUuid;
  return {
      {"type", options.type == FsType::kExt4 ? "ext4" : "ext2"},
      {"size", fmt::format("{}{}", is_total ? "" : "+", options.size.bytes)},
      {"label", options.label},
      {"uuid", uuid},
      {"journal", options.journal ? "yes" : "no"},
      {"userxattr", family == XattrFamily::kUser ? "yes" : "no"}};
}

}  // namespace ovl
