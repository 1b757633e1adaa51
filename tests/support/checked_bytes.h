// SPDX-License-Identifier: BSD-3-Clause
//
// Checked files as strings, to damage them.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <xxhash.h>

namespace ovl {

inline constexpr size_t kChecksumBytes = 8;
inline constexpr size_t kStartBytes = 16;

inline std::string read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Over what is there: a file that is made empty and filled again may wait for
// the disk, and thousands of these do.
inline void write_whole(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::app);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file << bytes;
  file.close();
  std::filesystem::resize_file(path, bytes.size());
}

/// The checksum made to fit again, so that only what it covers is wrong.
inline std::string resealed(std::string bytes) {
  const size_t content = bytes.size() - kChecksumBytes;
  const XXH64_hash_t hash = XXH3_64bits(bytes.data(), content);
  std::memcpy(&bytes[content], &hash, sizeof hash);
  return bytes;
}

}  // namespace ovl
