// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/mounts.h"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

namespace ovl {
namespace {

struct Mount {
  std::string where;
  std::string type;
  std::string options;
};

// mountinfo escapes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 3, byte, 8).ptr == digits + 3) {
      plain += static_cast<char>(byte);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// A line: id parent dev root WHERE options [tag...] - TYPE source OPTIONS
std::vector<Mount> all_mounts() {
  std::vector<Mount> mounts;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    std::string where;
    for (int i = 0; i < 5; ++i)
      words >> where;
    while (words >> word && word != "-") {
    }
    std::string type;
    std::string options;
    if (words >> type >> word >> options)
      mounts.push_back({unescape(where), type, unescape(options)});
  }
  return mounts;
}

bool is_same_directory(const std::string& a, const std::string& b) {
  struct stat first {};
  struct stat second {};
  return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// The value of `key` in comma-separated options; commas in it are escaped.
std::string option_value(const std::string& options, std::string_view key) {
  std::string value;
  const std::string wanted = std::string(key) + "=";
  size_t at = options.find(wanted);
  while (at != options.npos && at > 0 && options[at - 1] != ',')
    at = options.find(wanted, at + 1);
  if (at == options.npos)
    return value;
  for (at += wanted.size(); at < options.size() && options[at] != ','; ++at) {
    if (options[at] == '\\' && at + 1 < options.size())
      ++at;
    value += options[at];
  }
  return value;
}

Status refuse_use(const Mount& mount, std::string_view key,
                  const std::string& path) {
  const std::string used = option_value(mount.options, key);
  // A relative path was the mounting process's: it cannot be resolved here.
  if (!used.starts_with('/') || !is_same_directory(used, path))
    return {};
  return fail(EBUSY, std::string(key) + ": " + path +
                         ": in use by the overlay mounted on " + mount.where);
}

}  // namespace

Status refuse_mounted_overlay(const std::string& upper,
                              const std::string& work) {
  for (const Mount& mount : all_mounts()) {
    if (mount.type != "overlay")
      continue;
    OVL_TRY(refuse_use(mount, "upperdir", upper));
    OVL_TRY(refuse_use(mount, "workdir", work));
  }
  return {};
}

Status refuse_mounts_in_upper(const std::string& upper) {
  std::error_code error;
  const std::string root = std::filesystem::canonical(upper, error).string();
  if (error)
    return system_error(error.value(), "upperdir: " + upper);
  for (const Mount& mount : all_mounts())
    if (mount.where.starts_with(root + "/"))
      return fail(EXDEV, "upperdir: " + upper + ": " + mount.where +
                             " is a mount point in it: unmount it first");
  return {};
}

}  // namespace ovl
