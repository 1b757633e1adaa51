// SPDX-License-Identifier: BSD-3-Clause
//
// What a loss of power leaves of recorded operations: those that a sync made
// durable, and of the others any that the host happened to have written.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/recording_os.h"

namespace ovl {

/// Which unsynced operations survive.
enum class Survivors { kAll, kNone, kFirstHalf, kRandom };

class PowerCut {
 public:
  /// After the first `count` of `ops`; sectors of 512 bytes are written whole,
  /// words of 8 bytes stored whole.
  PowerCut(const std::vector<RecordedOp>& ops, size_t count,
           Survivors survivors, uint64_t seed)
      : random_(seed) {
    std::vector<size_t> unsynced;
    std::vector<bool> kept(count, true);
    for (size_t i = 0; i < count; ++i)
      if (!is_durable(ops, i, count))
        unsynced.push_back(i);
    for (size_t n = 0; n < unsynced.size(); ++n)
      kept[unsynced[n]] = survives(survivors, n, unsynced.size());
    for (size_t i = 0; i < count; ++i)
      if (kept[i])
        apply(ops[i], false);
      else if (survivors == Survivors::kRandom)
        apply(ops[i], true);
  }

  /// Makes it so in an empty directory.
  void put(const std::string& root) const {
    namespace fs = std::filesystem;
    for (const auto& [path, entry] : entries_)
      if (entry.is_dir && has_parent(path))
        fs::create_directories(root + "/" + path);
    for (const auto& [path, entry] : entries_)
      if (!entry.is_dir && has_parent(path))
        put_file(root + "/" + path, files_.at(entry.file));
  }

 private:
  using Kind = RecordedOp::Kind;
  struct Entry {
    bool is_dir = false;
    uint64_t file = 0;
  };
  using Bytes = std::vector<std::byte>;

  static bool is_durable(const std::vector<RecordedOp>& ops, size_t index,
                         size_t count) {
    const RecordedOp& op = ops[index];
    for (size_t i = index + 1; i < count; ++i) {
      if (op.is_of_file() && ops[i].kind == Kind::kSyncFile &&
          ops[i].file == op.file)
        return true;
      if (op.is_of_dir() && ops[i].kind == Kind::kSyncDir &&
          ops[i].dir == op.dir)
        return true;
    }
    return !op.is_of_file() && !op.is_of_dir();
  }

  bool survives(Survivors which, size_t index, size_t count) {
    switch (which) {
      case Survivors::kAll:
        return true;
      case Survivors::kNone:
        return false;
      case Survivors::kFirstHalf:
        return index < count / 2;
      case Survivors::kRandom:
        return random_() % 2 == 0;
    }
    return true;
  }

  static std::string join(const std::string& dir, const std::string& name) {
    return dir.empty() ? name : dir + "/" + name;
  }
  bool has_parent(const std::string& path) const {
    const size_t slash = path.rfind('/');
    return slash == path.npos || entries_.contains(path.substr(0, slash));
  }

  // Torn: some of a write's sectors, some of a store's words, and nothing of
  // anything else.
  void apply(const RecordedOp& op, bool torn) {
    const bool can_tear = op.kind == Kind::kWrite || op.kind == Kind::kStore;
    if (torn && !can_tear)
      return;
    switch (op.kind) {
      case Kind::kCreate:
        entries_[join(op.dir, op.name)] = {false, op.file};
        files_[op.file] = {};
        return;
      case Kind::kMakeDir:
        entries_[join(op.dir, op.name)] = {true, 0};
        return;
      case Kind::kRename:
        rename(join(op.dir, op.name), join(op.dir, op.to));
        return;
      case Kind::kRemove:
        entries_.erase(join(op.dir, op.name));
        return;
      case Kind::kWrite:
      case Kind::kStore:
        write(op, torn);
        return;
      case Kind::kTruncate:
        files_[op.file].resize(op.length);
        return;
      case Kind::kPunch:
        punch(files_[op.file], op);
        return;
      case Kind::kSyncFile:
      case Kind::kSyncDir:
        return;
    }
  }

  void rename(const std::string& from, const std::string& to) {
    const auto at = entries_.find(from);
    if (at == entries_.end())
      return;
    const Entry entry = at->second;
    entries_.erase(at);
    entries_[to] = entry;
  }

  void write(const RecordedOp& op, bool torn) {
    Bytes& file = files_[op.file];
    file.resize(std::max<size_t>(file.size(), op.offset + op.bytes.size()));
    const uint64_t unit = op.kind == Kind::kStore ? 8 : 512;
    for (uint64_t at = 0; at < op.bytes.size();) {
      const uint64_t unit_end =
          ((op.offset + at) / unit + 1) * unit - op.offset;
      const uint64_t end = std::min<uint64_t>(op.bytes.size(), unit_end);
      if (!torn || random_() % 4 == 0)
        std::copy(op.bytes.begin() + static_cast<ptrdiff_t>(at),
                  op.bytes.begin() + static_cast<ptrdiff_t>(end),
                  file.begin() + static_cast<ptrdiff_t>(op.offset + at));
      at = end;
    }
  }

  static void punch(Bytes& file, const RecordedOp& op) {
    const uint64_t end = std::min<uint64_t>(file.size(), op.offset + op.length);
    for (uint64_t at = op.offset; at < end; ++at)
      file[at] = std::byte{0};
  }

  static void put_file(const std::string& path, const Bytes& bytes) {
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = std::min<size_t>(4096, bytes.size() - at);
      const auto first = bytes.begin() + static_cast<ptrdiff_t>(at);
      if (std::any_of(first, first + static_cast<ptrdiff_t>(n),
                      [](std::byte byte) { return byte != std::byte{0}; }))
        (void)!::pwrite(fd.get(), &bytes[at], n, static_cast<off_t>(at));
      at += n;
    }
    (void)!::ftruncate(fd.get(), static_cast<off_t>(bytes.size()));
  }

  std::mt19937_64 random_;
  std::map<std::string, Entry> entries_;
  std::map<uint64_t, Bytes> files_;
};

}  // namespace ovl
