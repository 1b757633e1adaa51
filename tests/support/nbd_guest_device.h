// SPDX-License-Identifier: BSD-3-Clause
//
// An NBD export as a device, through libnbd. Blocks that were read stay in
// memory: libext2fs reads the same metadata again and again. For one thread,
// and for one client of the export at a time.
#pragma once

#include <libnbd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "fsengine/base/block_source.h"
#include "fsengine/base/units.h"
#include "images/ext2_io.h"

namespace ovl {

class NbdDevice : public BlockSource {
 public:
  /// `to` is an NBD URI or the path of a unix socket.
  static Result<std::unique_ptr<NbdDevice>> connect(const std::string& to);

  uint64_t size() const override { return size_; }
  Status read(uint64_t offset, std::span<std::byte> out) const override;

  /// Writes and flushes of the export. The device outlives it.
  BlockSink sink();

 private:
  struct CloseHandle {
    void operator()(nbd_handle* handle) const { nbd_close(handle); }
  };
  using Handle = std::unique_ptr<nbd_handle, CloseHandle>;

  struct Slot {
    uint64_t number = UINT64_MAX;
    std::array<std::byte, kBlockSize> bytes;
  };
  static constexpr size_t kSlots = 8192;

  explicit NbdDevice(Handle handle, uint64_t size)
      : handle_(std::move(handle)), size_(size), cache_(kSlots) {}

  Status read_uncached(uint64_t offset, std::span<std::byte> out) const;
  Status write(uint64_t offset, std::span<const std::byte> bytes);
  Status flush();
  void forget(uint64_t offset, uint64_t length);

  Handle handle_;
  uint64_t size_;
  mutable std::vector<Slot> cache_;  // by number, modulo its size
};

}  // namespace ovl
