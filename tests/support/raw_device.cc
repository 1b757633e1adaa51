// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/raw_device.h"

#include <fcntl.h>
#include <unistd.h>

namespace ovl {

Result<std::unique_ptr<RawDevice>> RawDevice::create(const std::string& path,
                                                     const LowerImage& base,
                                                     const Trace& trace) {
  OVL_TRY(base.write_to(path));
  Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.is_open())
    return last_error(path + ": open");
  return std::unique_ptr<RawDevice>(
      new RawDevice(std::move(file), base.image().size(), trace));
}

Status RawDevice::read(uint64_t offset, std::span<std::byte> out) const {
  const ssize_t got =
      ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
  if (got != static_cast<ssize_t>(out.size()))
    return last_error("read");
  return {};
}

Status RawDevice::go_to(size_t position,
                        const std::function<void(const TraceRecord&)>& done) {
  for (; position_ < position; ++position_) {
    const TraceRecord& record = trace_.records()[position_];
    OVL_TRY(apply_to_file(record, file_.get()));
    done(record);
  }
  return {};
}

}  // namespace ovl
