// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/base/os.h"
#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/stack.h"
#include "fsengine/store/disk_view.h"
#include "images/decode/decoder.h"
#include "images/image.h"

namespace ovl {

/// Content of a guest's files that a lower has, unchanged: a copy of it in
/// upper shares its space where the host's file system can (ioctl_ficlonerange
/// (2)). For one thread at a time.
class SharedContent {
 public:
  struct Context {
    Os& os;
    const Stack& stack;
    const Image& image;
    FileReader& files;
  };
  explicit SharedContent(const Context& context) : context_(context) {}

  /// From now on `decoder`, and the view that it has decoded, say what the
  /// guest's files are. Both outlive the calls of share().
  void begin(const Decoder& decoder, const DiskView& view);

  /// Gives file `to` what the guest's file `ino` has from `at` on, at most up
  /// to `end`, by sharing. Returns how many bytes that was: 0 where it cannot.
  uint64_t share(int to, Ino ino, uint64_t at, uint64_t end);

 private:
  struct Part {
    NodeId node = kNoNode;  // a lower's file
    uint64_t offset = 0;    // in it
    uint64_t length = 0;    // whole blocks
  };
  Part part_at(Ino ino, uint64_t at, uint64_t end);
  const Mapping* mapping_of(Ino ino);

  const Context context_;
  const Decoder* decoder_ = nullptr;
  const DiskView* view_ = nullptr;
  Ino ino_{};  // whose mapping is here
  Mapping mapping_;
  bool is_impossible_ = false;
};

}  // namespace ovl
