// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <utility>

#include "fsengine/base/block_source.h"
#include "fsengine/device/read_ahead.h"
#include "fsengine/overlay/file_reader.h"
#include "images/image.h"

namespace ovl {

/// The device before anybody wrote: computed metadata, and the layers' files
/// in place. Safe for concurrent use; image and reader outlive it.
class BaseSource : public BlockSource {
 public:
  BaseSource(const Image& image, FileReader& files)
      : image_(image), files_(files), ahead_(image, files) {}

  /// Reads bytes of a file of upper that is not what the scan saw; ESTALE when
  /// it cannot.
  using ReadChanged = std::function<Status(NodeId node, uint64_t offset,
                                           std::span<std::byte> out)>;
  /// REQUIRES: no request is in flight.
  void read_changed_by(ReadChanged read) { read_changed_ = std::move(read); }

  uint64_t size() const override { return image_.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override;
  uint64_t zeros_at(uint64_t offset, uint64_t length) const override;

 private:
  Status read_segment(const Segment& segment, uint64_t offset,
                      std::span<std::byte> out,
                      const ReadAhead::Request& request) const;

  Status read_file(const Segment& segment, std::span<std::byte> out,
                   const BeforeWait& before_wait) const;

  const Image& image_;
  FileReader& files_;
  ReadChanged read_changed_;
  mutable ReadAhead ahead_;
};

}  // namespace ovl
