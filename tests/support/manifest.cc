// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/manifest.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include <fmt/format.h>

namespace ovl {
namespace {

constexpr std::string_view kNothing = "-";
constexpr uint64_t kMostRead = 1 << 20;

bool is_plain(unsigned char byte, std::string_view also_escaped) {
  return byte > 32 && byte < 127 && byte != '\\' &&
         also_escaped.find(static_cast<char>(byte)) == std::string_view::npos;
}

std::string escape(std::string_view text, std::string_view also_escaped = "") {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_plain(byte, also_escaped))
      out += c;
    else
      out += fmt::format("\\{:03o}", byte);
  }
  return out;
}

std::string escape_path(std::string_view path) {
  return "/" + escape(path);
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes)
    out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

char type_letter(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 'f';
    case S_IFDIR:
      return 'd';
    case S_IFLNK:
      return 'l';
    case S_IFCHR:
      return 'c';
    case S_IFBLK:
      return 'b';
    case S_IFIFO:
      return 'p';
    case S_IFSOCK:
      return 's';
    default:
      return '?';
  }
}

std::string format_xattrs(XattrSet xattrs) {
  if (xattrs.empty())
    return std::string(kNothing);
  std::sort(xattrs.begin(), xattrs.end(),
            [](const Xattr& a, const Xattr& b) { return a.name < b.name; });
  std::string out;
  for (const Xattr& xattr : xattrs) {
    if (!out.empty())
      out += ',';
    out += escape(xattr.name, "=,") + "=" + hex(xattr.value);
  }
  return out;
}

std::string format_runs(const ManifestEntry& entry) {
  if (!S_ISREG(entry.mode))
    return std::string(kNothing);
  std::string out = "@";
  for (const DataRun& run : entry.data_runs)
    out += fmt::format("{}+{},", run.first_block, run.blocks);
  return out;
}

std::string format_owner(const ManifestEntry& entry,
                         const ManifestFormat& format) {
  if (!format.owner)
    return "- -";
  return fmt::format("{} {}", entry.uid, entry.gid);
}

std::string format_mtime(const ManifestEntry& entry,
                         const ManifestFormat& format) {
  if (entry.path.empty() && !format.root_mtime)
    return std::string(kNothing);
  return fmt::format("{}.{:09}", entry.mtime_sec, entry.mtime_nsec);
}

std::string format_rdev(const ManifestEntry& entry) {
  if (!S_ISCHR(entry.mode) && !S_ISBLK(entry.mode))
    return std::string(kNothing);
  return fmt::format("{}:{}", entry.rdev_major, entry.rdev_minor);
}

std::string format_size(const ManifestEntry& entry) {
  if (!S_ISREG(entry.mode) && !S_ISLNK(entry.mode))
    return std::string(kNothing);
  return fmt::format("{}", entry.size);
}

std::string format_flags(const ManifestEntry& entry,
                         const ManifestFormat& format) {
  std::string out;
  if (entry.is_no_atime && format.all_flags)
    out += 'A';
  if (entry.is_synchronous && format.all_flags)
    out += 'S';
  if (entry.is_append_only)
    out += 'a';
  if (entry.is_immutable)
    out += 'i';
  return out.empty() ? std::string(kNothing) : out;
}

std::string format_line(const ManifestEntry& entry,
                        const std::string& link_group,
                        const ManifestFormat& format) {
  const auto or_nothing = [](std::string_view text) {
    return text.empty() ? std::string(kNothing) : escape(text);
  };
  std::string line = fmt::format(
      "{} {} {:04o} {} {} {} {} {} {} {} {} {}", escape_path(entry.path),
      type_letter(entry.mode), entry.mode & 07777, format_owner(entry, format),
      format_mtime(entry, format), format_rdev(entry), format_size(entry),
      link_group, format_xattrs(entry.xattrs), or_nothing(entry.target),
      or_nothing(entry.content), format_flags(entry, format));
  if (format.holes)
    line += " " + format_runs(entry);
  return line + "\n";
}

struct LinkGroup {
  std::string_view smallest_path;
  size_t names = 0;
};

using LinkGroups = std::map<LinkKey, LinkGroup>;

// REQUIRES: entries sorted by path. The views point into them.
LinkGroups find_link_groups(const std::vector<ManifestEntry>& entries) {
  LinkGroups groups;
  for (const ManifestEntry& entry : entries) {
    if (S_ISDIR(entry.mode) || entry.link_key.number == 0)
      continue;
    LinkGroup& group = groups[entry.link_key];
    if (group.names++ == 0)
      group.smallest_path = entry.path;
  }
  return groups;
}

std::string link_group_of(const ManifestEntry& entry,
                          const LinkGroups& groups) {
  const auto found = groups.find(entry.link_key);
  if (S_ISDIR(entry.mode) || found == groups.end() || found->second.names < 2)
    return std::string(kNothing);
  return escape_path(found->second.smallest_path);
}

}  // namespace

void ContentHasher::FreeState::operator()(XXH3_state_t* state) const {
  XXH3_freeState(state);
}

ContentHasher::ContentHasher() : state_(XXH3_createState()) {
  XXH3_128bits_reset(state_.get());
}

void ContentHasher::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

void ContentHasher::add_zeros(uint64_t count) {
  static constexpr std::array<std::byte, 65536> kZeros{};
  while (count > 0) {
    const uint64_t step = std::min<uint64_t>(count, kZeros.size());
    add(std::span(kZeros).first(step));
    count -= step;
  }
}

std::string ContentHasher::finish() {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

Result<std::string> hash_content(const BlockSource& source) {
  ContentHasher hasher;
  // No larger than the file: the sweeps hash small ones by the million.
  std::vector<std::byte> buffer(std::min(kMostRead, source.size()));
  for (uint64_t at = 0; at < source.size();) {
    const auto part = std::span(buffer).first(
        std::min<uint64_t>(buffer.size(), source.size() - at));
    OVL_TRY(source.read(at, part));
    hasher.add(part);
    at += part.size();
  }
  return hasher.finish();
}

void Manifest::add(ManifestEntry entry) {
  entries_.push_back(std::move(entry));
}

Status Manifest::print(std::FILE* out, const ManifestFormat& format) {
  std::sort(entries_.begin(), entries_.end(),
            [](const ManifestEntry& a, const ManifestEntry& b) {
              return a.path < b.path;
            });
  const LinkGroups groups = find_link_groups(entries_);
  for (const ManifestEntry& entry : entries_) {
    const std::string line =
        format_line(entry, link_group_of(entry, groups), format);
    if (std::fwrite(line.data(), 1, line.size(), out) != line.size())
      return last_error("write manifest");
  }
  if (std::fflush(out) != 0)
    return last_error("write manifest");
  return {};
}

}  // namespace ovl
