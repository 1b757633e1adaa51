// SPDX-License-Identifier: BSD-3-Clause
//
// A device in a file that goes through a trace, forwards only. For one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "fsengine/base/block_source.h"
#include "fsengine/base/fd.h"
#include "tests/support/lower_image.h"
#include "tests/support/write_trace.h"

namespace ovl {

class RawDevice : public BlockSource {
 public:
  /// In a new file `path`, at the beginning of `trace`, which outlives it.
  static Result<std::unique_ptr<RawDevice>> create(const std::string& path,
                                                   const LowerImage& base,
                                                   const Trace& trace);

  uint64_t size() const override { return size_; }
  Status read(uint64_t offset, std::span<std::byte> out) const override;

  /// Carries out the records up to `position`, and tells of each.
  Status go_to(size_t position,
               const std::function<void(const TraceRecord&)>& done);

  size_t position() const { return position_; }
  int file() const { return file_.get(); }

 private:
  RawDevice(Fd file, uint64_t size, const Trace& trace)
      : trace_(trace), file_(std::move(file)), size_(size) {}

  const Trace& trace_;
  const Fd file_;
  const uint64_t size_;
  size_t position_ = 0;
};

}  // namespace ovl
