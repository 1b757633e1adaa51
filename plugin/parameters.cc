// SPDX-License-Identifier: BSD-3-Clause
#include "plugin/parameters.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>

namespace ovl {
namespace {

constexpr size_t kMaxLabel = 16;

tl::unexpected<Error> bad(std::string_view key, const std::string& value,
                          const std::string& expected) {
  return fail(EINVAL,
              std::string(key) + ": \"" + value + "\" is not " + expected);
}

Result<std::string> absolute(std::string_view key, const std::string& path) {
  if (path.empty())
    return bad(key, path, "a path");
  std::error_code error;
  const auto whole = std::filesystem::absolute(path, error);
  if (error)
    return system_error(error.value(), std::string(key) + ": " + path);
  return whole.string();
}

// At each colon that no backslash escapes; `\x` is x, as mount has it.
std::vector<std::string> split_paths(const std::string& value) {
  std::vector<std::string> paths(1);
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\' && i + 1 < value.size())
      paths.back() += value[++i];
    else if (value[i] == ':')
      paths.emplace_back();
    else
      paths.back() += value[i];
  }
  return paths;
}

Result<bool> parse_bool(std::string_view key, const std::string& value) {
  for (const char* yes : {"yes", "on", "true", "1"})
    if (value == yes)
      return true;
  for (const char* no : {"no", "off", "false", "0"})
    if (value == no)
      return false;
  return bad(key, value, "yes or no");
}

// The suffixes of nbdkit's own sizes.
std::optional<unsigned> suffix_shift(std::string_view suffix) {
  if (suffix.empty() || suffix == "b" || suffix == "B")
    return 0;
  if (suffix == "s" || suffix == "S")
    return 9;
  constexpr std::string_view kUnits = "KMGTPE";
  const auto at = kUnits.find(
      static_cast<char>(std::toupper(static_cast<unsigned char>(suffix[0]))));
  if (suffix.size() != 1 || at == kUnits.npos)
    return std::nullopt;
  return static_cast<unsigned>(10 * (at + 1));
}

Result<uint64_t> parse_size(std::string_view key, const std::string& value,
                            std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  const auto shift =
      suffix_shift(text.substr(static_cast<size_t>(end - text.data())));
  if (error != std::errc() || !shift ||
      number > static_cast<uint64_t>(INT64_MAX) >> *shift)
    return bad(key, value, "a size");
  return number << *shift;
}

Result<Uuid> parse_uuid(std::string_view key, const std::string& value) {
  std::string digits = value;
  std::erase(digits, '-');
  Uuid uuid{};
  const bool dashed = value.size() == 36 && value[8] == '-' &&
                      value[13] == '-' && value[18] == '-' && value[23] == '-';
  if (!dashed || digits.size() != 2 * uuid.size())
    return bad(key, value, "a UUID");
  for (size_t i = 0; i < uuid.size(); ++i) {
    const char* at = digits.data() + 2 * i;
    if (std::from_chars(at, at + 2, uuid[i], 16).ptr != at + 2)
      return bad(key, value, "a UUID");
  }
  return uuid;
}

struct Key {
  std::string_view name;
  Status (*set)(DeviceConfig&, std::string_view key, const std::string& value);
};

// `A:B::D`: what follows a double colon is a data-only layer, and so is all
// behind it.
Status add_lowers(DeviceConfig& config, std::string_view key,
                  const std::string& value) {
  bool data_only = false;
  for (const std::string& path : split_paths(value)) {
    const bool marker = path.empty() && !data_only && !config.lowers.empty();
    if (!marker && !data_only && !config.data_only.empty())
      return bad(key, value, "in order: behind :: only :: may follow");
    if (!marker)
      (data_only ? config.data_only : config.lowers)
          .push_back(OVL_TRY(absolute(key, path)));
    data_only = marker;
  }
  return data_only ? bad(key, value, "a list of paths") : Status();
}

Status set_upper(DeviceConfig& config, std::string_view key,
                 const std::string& value) {
  config.upper = OVL_TRY(absolute(key, value));
  return {};
}

Status set_work(DeviceConfig& config, std::string_view key,
                const std::string& value) {
  config.work = OVL_TRY(absolute(key, value));
  return {};
}

Status set_size(DeviceConfig& config, std::string_view key,
                const std::string& value) {
  const bool more = value.starts_with('+');
  const auto text = std::string_view(value).substr(more ? 1 : 0);
  config.size = SizeRequest{
      more ? SizeRequest::Kind::kFreeSpace : SizeRequest::Kind::kTotal,
      OVL_TRY(parse_size(key, value, text))};
  return {};
}

Status set_type(DeviceConfig& config, std::string_view key,
                const std::string& value) {
  if (value != "ext2" && value != "ext4")
    return bad(key, value, "ext2 or ext4");
  config.type = value == "ext4" ? FsType::kExt4 : FsType::kExt2;
  return {};
}

Status set_label(DeviceConfig& config, std::string_view key,
                 const std::string& value) {
  if (value.size() > kMaxLabel)
    return bad(key, value, "at most 16 bytes long");
  config.label = value;
  return {};
}

Status set_uuid(DeviceConfig& config, std::string_view key,
                const std::string& value) {
  config.uuid = OVL_TRY(parse_uuid(key, value));
  return {};
}

Status set_journal(DeviceConfig& config, std::string_view key,
                   const std::string& value) {
  config.journal = OVL_TRY(parse_bool(key, value));
  return {};
}

Status set_relayout(DeviceConfig& config, std::string_view key,
                    const std::string& value) {
  config.relayout = OVL_TRY(parse_bool(key, value));
  return {};
}

// A day is as good as never, and far from where numbers end.
Status set_checkpoint(DeviceConfig& config, std::string_view key,
                      const std::string& value) {
  constexpr int kMostSeconds = 86400;
  config.sync_checkpoints = value == "sync";
  if (config.sync_checkpoints)
    return {};
  int seconds = 0;
  const auto [end, error] =
      std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error != std::errc() || end != value.data() + value.size() ||
      seconds < 1 || seconds > kMostSeconds)
    return bad(key, value, "sync, or seconds, 1 to 86400");
  config.checkpoint = std::chrono::seconds(seconds);
  return {};
}

Status set_redirect_dir(DeviceConfig& config, std::string_view key,
                        const std::string& value) {
  config.redirect_dir = OVL_TRY(parse_bool(key, value));
  return {};
}

Status set_userxattr(DeviceConfig& config, std::string_view key,
                     const std::string& value) {
  config.userxattr = OVL_TRY(parse_bool(key, value));
  return {};
}

Status set_owner(DeviceConfig& config, std::string_view key,
                 const std::string& value) {
  if (value == "override")
    return fail(ENOTSUP, "owner: override is not supported yet");
  if (value != "keep" && value != "squash")
    return bad(key, value, "keep or squash");
  config.owner = value == "keep" ? OwnerPolicy::kKeep : OwnerPolicy::kSquash;
  return {};
}

Status set_unrepresentable(DeviceConfig& config, std::string_view key,
                           const std::string& value) {
  using Policy = Unrepresentable::Policy;
  if (value != "record" && value != "hold")
    return bad(key, value, "record or hold");
  config.unrepresentable = value == "record" ? Policy::kRecord : Policy::kHold;
  return {};
}

constexpr std::array<Key, 14> kKeys{{
    {"lowerdir", add_lowers},
    {"upperdir", set_upper},
    {"workdir", set_work},
    {"size", set_size},
    {"type", set_type},
    {"label", set_label},
    {"uuid", set_uuid},
    {"journal", set_journal},
    {"checkpoint", set_checkpoint},
    {"redirect_dir", set_redirect_dir},
    {"relayout", set_relayout},
    {"userxattr", set_userxattr},
    {"owner", set_owner},
    {"unrepresentable", set_unrepresentable},
}};

}  // namespace

Status Parameters::set(std::string_view key, const std::string& value) {
  const auto at = std::ranges::find(kKeys, key, &Key::name);
  if (at == kKeys.end())
    return fail(EINVAL, "unknown parameter '" + std::string(key) + "'");
  return at->set(config_, key, value);
}

Status Parameters::check() const {
  if (config_.lowers.empty())
    return fail(EINVAL, "lowerdir: this parameter is required");
  if (config_.upper && !config_.work)
    return fail(EINVAL, "upperdir: " + *config_.upper + ": needs workdir");
  if (config_.work && !config_.upper)
    return fail(EINVAL, "workdir: " + *config_.work + ": needs upperdir");
  if (config_.redirect_dir.value_or(false) && config_.userxattr.value_or(false))
    return fail(EINVAL, "redirect_dir: cannot be on with userxattr");
  return {};
}

}  // namespace ovl
