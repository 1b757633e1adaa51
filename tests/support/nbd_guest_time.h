// SPDX-License-Identifier: BSD-3-Clause
//
// Times as ext4 keeps them in large inodes.
#pragma once

#include <ext2fs/ext2fs.h>

#include <cstdint>

#include "fsengine/base/os.h"

namespace ovl {

/// What every inode that the guest makes says of its size beyond 128 bytes.
inline constexpr uint16_t kGuestExtraSize = 32;

/// The two words of one time.
struct ExtTimestamp {
  uint32_t seconds = 0;
  uint32_t extra = 0;
};

ExtTimestamp ext_timestamp(Timestamp time);
Timestamp from_ext(const ExtTimestamp& time);
ExtTimestamp ext_now();

/// Never 0, and not the same twice in one process.
uint32_t next_generation();

inline void set_mtime_fields(ext2_inode_large& inode, ExtTimestamp time) {
  inode.i_mtime = time.seconds;
  inode.i_mtime_extra = time.extra;
}
inline void set_ctime_fields(ext2_inode_large& inode, ExtTimestamp time) {
  inode.i_ctime = time.seconds;
  inode.i_ctime_extra = time.extra;
}
/// All four: access, change, modification, birth.
void set_times(ext2_inode_large& inode, ExtTimestamp time);

}  // namespace ovl
