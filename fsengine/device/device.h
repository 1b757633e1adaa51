// SPDX-License-Identifier: BSD-3-Clause
//
// The device: what the guest reads and writes. The base image comes from the
// layers, what the guest wrote lies over it in the store, and write_back
// brings upper to the tree that the guest left.
//
// Requests are safe from any number of threads at once; open, write_back and
// destruction are for one thread with no requests in flight.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/device/base_source.h"
#include "fsengine/device/config.h"
#include "fsengine/device/places.h"
#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/publish_plan.h"
#include "fsengine/overlay/stack.h"
#include "fsengine/store/disk.h"
#include "images/image.h"

namespace ovl {

class ExtReader;

class Device {
 public:
  /// Scans and lays out; takes up what an earlier run kept, and first finishes
  /// a write-back that was interrupted. Creates nothing on disk. Errors name
  /// the parameter and the path.
  static Result<std::unique_ptr<Device>> open(DeviceConfig config, Os& os);

  uint64_t size() const { return image_->size(); }
  bool is_writable() const { return places_.has_value(); }

  /// Begins background work. REQUIRES: called once, by a process that does not
  /// fork any more.
  void start();

  /// REQUIRES, for all requests: the range lies in the device.
  Status read(uint64_t offset, std::span<std::byte> out);
  Status write(uint64_t offset, std::span<const std::byte> bytes,
               Durability durability = Durability::kLazy);
  Status zero(uint64_t offset, uint64_t length,
              Durability durability = Durability::kLazy);
  Status flush();

  /// A range of the device that is one or the other throughout.
  struct Extent {
    uint64_t length = 0;
    bool is_hole = false;  // reads as zeros, and nothing stands for it
  };
  /// What begins at `offset`, in at most `length` bytes. REQUIRES: length > 0.
  Extent extent_at(uint64_t offset, uint64_t length) const;

  /// Brings upper to the tree on the device, and drops the store. When the
  /// file system is not clean, or anything fails before upper is touched,
  /// upper is as it was, the store is kept, and the error says so. A failure
  /// after that is made good by the next open.
  Status write_back();

 private:
  Device(DeviceConfig config, Os& os);

  Status open_stack();
  Status open_image();
  Status open_disk();
  Result<Disk*> ensure_disk();
  DiskOptions disk_options() const;
  Extent base_extent_at(uint64_t offset, uint64_t length) const;

  Status apply_to_upper();
  Status write_tree(Tree guest, ExtReader& reader);
  Result<PublishPlan> stage(Tree guest, ExtReader& reader, int staging);
  Status discard_state();
  Status finish_write_back();

  const DeviceConfig config_;
  Os& os_;
  const XattrFamily family_;
  const bool redirect_dir_;
  std::optional<Places> places_;  // when writable
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<FileReader> files_;
  std::unique_ptr<Image> image_;
  std::unique_ptr<BaseSource> base_;

  std::mutex disk_mutex_;  // creation of the disk
  Fd state_dir_;
  bool is_started_ = false;
  std::unique_ptr<Disk> disk_owner_;
  std::atomic<Disk*> disk_ = nullptr;  // none before the first write
};

}  // namespace ovl
