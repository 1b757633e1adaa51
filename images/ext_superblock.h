// SPDX-License-Identifier: BSD-3-Clause
//
// The gate before anything is decoded: is this the file system that we know,
// in a state and with features that can be read without a guess?
#pragma once

#include "fsengine/base/block_source.h"
#include "images/image.h"

namespace ovl {

/// How the guest uses its file system.
enum class FsMode {
  kJournal,      // the journal is in use: in place nothing need be consistent
  kClean,        // unmounted, or frozen
  kUnjournaled,  // in use, or left so, without a journal
};

/// ENOTSUP: another file system, or features that are named. EBUSY: the guest
/// found errors in it. EUCLEAN: it claims to be larger than the device.
Result<FsMode> read_mode(const BlockSource& device, const Uuid& uuid);

/// Success when `device` holds a clean file system with this uuid, of our
/// block and inode size, with features that ExtReader understands. EBUSY: not
/// clean. ENOTSUP: another file system, or features that are named. EUCLEAN:
/// it claims to be larger than the device.
Status check_superblock(const BlockSource& device, const Uuid& uuid);

}  // namespace ovl
