// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/nbd_guest_time.h"

#include <ctime>

#include <random>

namespace ovl {

ExtTimestamp ext_timestamp(Timestamp time) {
  const auto low = static_cast<int32_t>(time.sec & 0xffffffff);
  const auto epoch = static_cast<uint32_t>((time.sec - low) >> 32) & 3;
  return {static_cast<uint32_t>(low), time.nsec << 2 | epoch};
}

Timestamp from_ext(const ExtTimestamp& time) {
  const int64_t epoch = time.extra & 3;
  return {static_cast<int32_t>(time.seconds) + (epoch << 32), time.extra >> 2};
}

ExtTimestamp ext_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return ext_timestamp({now.tv_sec, static_cast<uint32_t>(now.tv_nsec)});
}

uint32_t next_generation() {
  static uint32_t last = std::random_device()() | 1;
  return last += 2;
}

void set_times(ext2_inode_large& inode, ExtTimestamp time) {
  set_mtime_fields(inode, time);
  set_ctime_fields(inode, time);
  inode.i_atime = time.seconds;
  inode.i_atime_extra = time.extra;
  inode.i_crtime = time.seconds;
  inode.i_crtime_extra = time.extra;
}

}  // namespace ovl
