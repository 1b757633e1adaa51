// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "fsengine/base/fd.h"
#include "fsengine/base/result.h"

namespace ovl {

/// What a file was when the layer was scanned. A file that is not so any more
/// has drifted: it is gone, or inode, size or modification time differ.
struct Stamp {
  uint64_t ino = 0;
  uint64_t size = 0;
  int64_t mtime_sec = 0;
  uint32_t mtime_nsec = 0;
  uint32_t ctime_tag = 0;  // 0: any will do
};

/// Of `name` in `dir`, whatever it is, with any time of status change. Errors
/// name the call.
Result<Stamp> stamp_at(int dir, const std::string& name);

/// A time of last status change in 32 bits, which tell that it is another one;
/// never 0.
uint32_t ctime_tag_of(int64_t sec, uint32_t nsec);

/// What became of a file that has not drifted.
enum class Since {
  kSame,
  kTouched,  // its status changed: it got another link, owner or attribute
};

/// Opens regular file `name` of a layer for reading, in `dir`, which
/// Layer::open_dir gave, and through no symlink. Whether it is what the scan
/// saw is not looked at before it is read. Errors name the call.
Result<Fd> open_host_file(int dir, const std::string& name);

/// The same for the inode `ino` at a path beneath `root`. ESTALE when nothing
/// is there, or anything but that regular file.
Result<Fd> open_known_file(int root, const std::string& path, uint64_t ino);

/// Called before a read has to wait for the host.
using BeforeWait = std::function<void()>;

/// Fills `out`, and then looks at the file that was read: ESTALE when it has
/// drifted from `stamp`. REQUIRES: offset + out.size() <= stamp.size.
Result<Since> read_host_file(int fd, const Stamp& stamp, uint64_t offset,
                             std::span<std::byte> out,
                             const BeforeWait& before_wait);

/// ESTALE when an open file has drifted from `stamp`.
Result<Since> check_host_file(int fd, const Stamp& stamp);

/// Has the host fetch a part of a file, and does not wait for it.
void expect_host_file(int fd, uint64_t offset, uint64_t length);

}  // namespace ovl
