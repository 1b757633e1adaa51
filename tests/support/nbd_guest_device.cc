// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/nbd_guest_device.h"

#include <cerrno>

#include <algorithm>

namespace ovl {

namespace {

constexpr size_t kMaxRequest = 1 << 20;

tl::unexpected<Error> nbd_error(const char* operation) {
  const int code = nbd_get_errno() == 0 ? EIO : nbd_get_errno();
  return fail(code, std::string(operation) + ": " + nbd_get_error());
}

}  // namespace

Result<std::unique_ptr<NbdDevice>> NbdDevice::connect(const std::string& to) {
  Handle handle(nbd_create());
  if (handle == nullptr)
    return nbd_error("create a handle");
  const bool is_uri = to.find("://") != to.npos;
  const auto connect = is_uri ? nbd_connect_uri : nbd_connect_unix;
  if (connect(handle.get(), to.c_str()) != 0)
    return nbd_error(("connect to " + to).c_str());
  const int64_t size = nbd_get_size(handle.get());
  if (size < 0)
    return nbd_error("size");
  return std::unique_ptr<NbdDevice>(
      new NbdDevice(std::move(handle), static_cast<uint64_t>(size)));
}

Status NbdDevice::read(uint64_t offset, std::span<std::byte> out) const {
  if (out.size() > kBlockSize || offset % kBlockSize + out.size() > kBlockSize)
    return read_uncached(offset, out);
  const uint64_t number = offset / kBlockSize;
  if (size_ - number * kBlockSize < kBlockSize)
    return read_uncached(offset, out);
  Slot& slot = cache_[number % kSlots];
  if (slot.number != number) {
    slot.number = UINT64_MAX;
    OVL_TRY(read_uncached(number * kBlockSize, slot.bytes));
    slot.number = number;
  }
  std::copy_n(slot.bytes.begin() + static_cast<ptrdiff_t>(offset % kBlockSize),
              out.size(), out.begin());
  return {};
}

Status NbdDevice::read_uncached(uint64_t offset,
                                std::span<std::byte> out) const {
  while (!out.empty()) {
    const auto part = out.first(std::min(out.size(), kMaxRequest));
    if (nbd_pread(handle_.get(), part.data(), part.size(), offset, 0) != 0)
      return nbd_error("read");
    out = out.subspan(part.size());
    offset += part.size();
  }
  return {};
}

void NbdDevice::forget(uint64_t offset, uint64_t length) {
  const uint64_t end = blocks_for(offset + length);
  for (uint64_t number = offset / kBlockSize; number < end; ++number)
    if (cache_[number % kSlots].number == number)
      cache_[number % kSlots].number = UINT64_MAX;
}

Status NbdDevice::write(uint64_t offset, std::span<const std::byte> bytes) {
  forget(offset, bytes.size());
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kMaxRequest));
    if (nbd_pwrite(handle_.get(), part.data(), part.size(), offset, 0) != 0)
      return nbd_error("write");
    bytes = bytes.subspan(part.size());
    offset += part.size();
  }
  return {};
}

Status NbdDevice::flush() {
  if (nbd_can_flush(handle_.get()) == 1 && nbd_flush(handle_.get(), 0) != 0)
    return nbd_error("flush");
  return {};
}

BlockSink NbdDevice::sink() {
  return {[this](uint64_t offset, std::span<const std::byte> bytes) {
            return write(offset, bytes);
          },
          [this] { return flush(); }};
}

}  // namespace ovl
