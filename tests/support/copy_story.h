// SPDX-License-Identifier: BSD-3-Clause
//
// A file of a lower's that is copied ahead of a checkpoint, and what was copied
// of it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <set>
#include <string>

#include "fsengine/overlay/copy_record.h"
#include "tests/support/checkpoint_story.h"
#include "tests/support/temp_dir.h"

namespace ovl {

/// An Os that notes which chunks are written to copies.
template <typename Base>
class CopyWatch : public Base {
 public:
  std::multiset<uint64_t> copied;                     // chunks
  std::function<Status(uint64_t chunk)> before_copy;  // may fail it
  std::string cannot_open;                            // a name

  Result<Fd> open_file(const At& at, int flags, uint32_t mode) override {
    if (at.name == cannot_open)
      return system_error(EIO, "open");
    return Base::open_file(at, flags, mode);
  }
  // Without its record a copy means nothing, before its data goes.
  Status unlink(const At& at) override {
    OVL_TRY(Base::unlink(at));
    is_record_gone_ |= at.name == "record";
    if (at.name == "data") {
      EXPECT_FALSE(is_record_gone_) << "not durably";
    }
    return {};
  }
  Status fsync(int fd) override {
    OVL_TRY(Base::fsync(fd));
    is_record_gone_ = false;
    return {};
  }

  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    const std::string path =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
    if (!path.ends_with("/data") || path.find("/copies/") == path.npos)
      return Base::pwrite(fd, bytes, offset);
    if (before_copy)
      OVL_TRY(before_copy(offset / kCopyChunk));
    OVL_TRY(Base::pwrite(fd, bytes, offset));
    // In two parts when there is a hole in it.
    if (offset % kCopyChunk == 0)
      copied.insert(offset / kCopyChunk);
    return {};
  }

 private:
  bool is_record_gone_ = false;
};

class CopyStory : public CheckpointStory {
 public:
  static constexpr uint64_t kChunks = 6;  // the last one is not whole
  static constexpr uint64_t kBytes = 5 * kCopyChunk + 12345;
  static constexpr uint64_t kHole = 2 * kCopyChunk + 300 * 1024;

  explicit CopyStory(Os& os) : CheckpointStory(os) {
    make_big("big", 1);
    make_big("other", 2);
    world.config().size = SizeRequest{SizeRequest::Kind::kTotal, 64 << 20};
    world.config().copies = {
        .more_than = kCopyChunk, .slice_bytes = kCopyChunk, .spare_bytes = 0};
  }

  static Status change_one_byte(GuestFs& fs) {
    return fs.write("big", 3 * kCopyChunk + 77, story_bytes("!"));
  }

  std::string copies() const { return world.path("work/ovl/copies"); }
  bool has_copies() const { return std::filesystem::exists(copies()); }
  /// Those that the only record says are there.
  std::set<uint64_t> kept() const {
    std::set<uint64_t> chunks;
    if (!has_copies())
      return chunks;
    for (const auto& entry : std::filesystem::directory_iterator(copies())) {
      const Fd directory = open_dir(entry.path());
      const auto record = read_copy_record(directory.get());
      EXPECT_EQ(record.has_value(),
                record && std::filesystem::exists(entry.path() / "data"));
      for (uint64_t i = 0; record && i < record->chunks.size(); ++i)
        if (record->chunks[i])
          chunks.insert(i);
    }
    return chunks;
  }
  struct stat upper(const std::string& name) const {
    struct stat st {};
    EXPECT_EQ(::lstat(world.path("upper/" + name).c_str(), &st), 0) << name;
    return st;
  }
  void expect_given(const std::string& name) const {
    EXPECT_EQ(upper(name).st_nlink, 1U);
    EXPECT_FALSE(has_copies());
  }
  Status try_checkpoint() {
    OVL_TRY(world.device().flush());
    if (!OVL_TRY(world.device().checkpoint_now()))
      return fail(EBUSY, "no state to take");
    return {};
  }
  std::string lower(const std::string& name) const {
    return world.path("lower/" + name);
  }

 private:
  void make_big(const std::string& name, uint64_t seed) {
    std::string bytes(kBytes, '\0');
    std::mt19937_64 random(seed);
    for (char& byte : bytes)
      byte = static_cast<char>(random());
    std::ofstream file(lower(name));
    file.write(bytes.data(), std::streamsize{kHole});
    file.seekp(std::streamoff{kHole + (64 << 10)});
    const auto rest = std::span(bytes).subspan(kHole + (64 << 10));
    file.write(rest.data(), std::ssize(rest));
  }
};

}  // namespace ovl
