// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/device/device.h"
#include "images/ext2_io.h"

namespace ovl {

/// A device of ours for a guest without a kernel.
class DeviceSource : public BlockSource {
 public:
  explicit DeviceSource(Device& device) : device_(device) {}
  uint64_t size() const override { return device_.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    return device_.read(offset, out);
  }
  BlockSink sink() {
    return {[this](uint64_t offset, std::span<const std::byte> bytes) {
              return device_.write(offset, bytes);
            },
            {}};
  }

 private:
  Device& device_;
};

}  // namespace ovl
