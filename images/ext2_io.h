// SPDX-License-Identifier: BSD-3-Clause
//
// libext2fs over a BlockSource: the only place where an ovl device becomes an
// ext2_filsys. A handle is for one thread at a time; several handles over one
// source are fine. The source outlives the handle.
#pragma once

#include <ext2fs/ext2fs.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "fsengine/base/block_source.h"
#include "fsengine/base/result.h"

namespace ovl {

/// Where libext2fs writes to. Empty functions make the device read-only.
struct BlockSink {
  std::function<Status(uint64_t offset, std::span<const std::byte>)> write;
  std::function<Status()> flush;
};

/// An errcode_t as an Error: a system's errno stays what it is, memory is
/// ENOMEM, and everything else that libext2fs complains of is EUCLEAN. One
/// line: `operation: text of com_err`.
tl::unexpected<Error> ext2_error(errcode_t code, std::string_view operation);

/// The Status of a libext2fs call.
Status ext2_status(errcode_t code, std::string_view operation);

struct Ext2Channel;

/// Owns an open file system; move-only.
class Ext2Fs {
 public:
  Ext2Fs(Ext2Fs&&) noexcept;
  Ext2Fs& operator=(Ext2Fs&&) noexcept;
  ~Ext2Fs();

  ext2_filsys get() const { return fs_; }
  ext2_filsys operator->() const { return fs_; }

  /// Writes back what is dirty (superblock, descriptors, bitmaps) and closes.
  /// Without it nothing that libext2fs still holds is written.
  Status close();

 private:
  friend Result<Ext2Fs> open_ext2(const BlockSource& device, BlockSink sink);
  explicit Ext2Fs(std::unique_ptr<Ext2Channel> channel);
  void discard();

  std::unique_ptr<Ext2Channel> channel_;
  ext2_filsys fs_ = nullptr;
};

/// Opens the file system on `device`; with a sink, for writing. Bitmaps are
/// not read; when they are, they are flat arrays, so that a hostile bitmap
/// costs no more memory than an honest one. EUCLEAN when libext2fs refuses it.
Result<Ext2Fs> open_ext2(const BlockSource& device, BlockSink sink = {});

}  // namespace ovl
