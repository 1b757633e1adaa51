// SPDX-License-Identifier: BSD-3-Clause
//
// Lookup, inodes and times; names are in nbd_guest_names.cc, content and
// attributes in nbd_guest_data.cc.
#include "tests/support/nbd_guest_fs.h"

#include <cerrno>
#include <ctime>

#include <algorithm>
#include <vector>

#include "fsengine/base/paths.h"
#include "tests/support/nbd_guest_time.h"

namespace ovl {

Result<GuestFs> GuestFs::open(const BlockSource& device, BlockSink sink) {
  const bool writable = static_cast<bool>(sink.write);
  Ext2Fs fs = OVL_TRY(open_ext2(device, std::move(sink)));
  if (ext2fs_has_feature_journal_needs_recovery(fs->super))
    return fail(EBUSY, "the journal needs recovery");
  if (writable)
    OVL_TRY(ext2_status(ext2fs_read_bitmaps(fs.get()), "read the bitmaps"));
  return GuestFs(std::move(fs));
}

Result<Ino> GuestFs::child(Ino parent, const std::string& name) const {
  ext2_ino_t ino = 0;
  const errcode_t code =
      ext2fs_lookup(fs(), to_int(parent), name.data(),
                    static_cast<int>(name.size()), nullptr, &ino);
  if (code == EXT2_ET_FILE_NOT_FOUND)
    return system_error(ENOENT, "lookup " + name);
  if (code == EXT2_ET_NO_DIRECTORY)
    return system_error(ENOTDIR, "lookup " + name);
  if (code != 0)
    return ext2_error(code, "lookup " + name);
  return Ino{ino};
}

Result<Ino> GuestFs::lookup(std::string_view path) const {
  Ino at{EXT2_ROOT_INO};
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0)
      at = OVL_TRY(child(at, std::string(path.substr(0, slash))));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return at;
}

Result<GuestFs::Place> GuestFs::place_of(std::string_view path) const {
  const SplitPath split = split_path(path);
  if (split.name.empty() || split.name.size() > EXT2_NAME_LEN)
    return system_error(EINVAL, path);
  const Ino parent = OVL_TRY(lookup(split.dir));
  return Place{parent, std::string(split.name)};
}

Result<Ino> GuestFs::lookup_place(const Place& place) const {
  return child(place.parent, place.name);
}

Status GuestFs::expect_absent(const Place& place) const {
  const Result<Ino> found = lookup_place(place);
  if (found.has_value())
    return system_error(EEXIST, place.name);
  if (found.error().code() != ENOENT)
    return tl::unexpected(found.error());
  return {};
}

Result<GuestInode> GuestFs::read_inode(Ino ino) const {
  GuestInode inode;
  const errcode_t code = ext2fs_read_inode_full(
      fs(), to_int(ino), EXT2_INODE(&inode.fields), sizeof inode);
  if (code != 0)
    return ext2_error(code, "read an inode");
  return inode;
}

Status GuestFs::write_inode(Ino ino, GuestInode& inode) {
  return ext2_status(
      ext2fs_write_inode_full(fs(), to_int(ino), EXT2_INODE(&inode.fields),
                              sizeof inode),
      "write an inode");
}

// What libext2fs leaves out of an inode that it made.
Status GuestFs::initialize(Ino ino, uint32_t mode) {
  GuestInode inode = OVL_TRY(read_inode(ino));
  const ExtTimestamp now = ext_now();
  inode.fields.i_mode = static_cast<uint16_t>(mode);
  inode.fields.i_extra_isize = kGuestExtraSize;
  inode.fields.i_generation = next_generation();
  set_times(inode.fields, now);
  return write_inode(ino, inode);
}

Status GuestFs::touch(Ino ino) {
  GuestInode inode = OVL_TRY(read_inode(ino));
  const ExtTimestamp now = ext_now();
  set_mtime_fields(inode.fields, now);
  set_ctime_fields(inode.fields, now);
  return write_inode(ino, inode);
}

Status GuestFs::touch_change_time(Ino ino) {
  GuestInode inode = OVL_TRY(read_inode(ino));
  set_ctime_fields(inode.fields, ext_now());
  return write_inode(ino, inode);
}

}  // namespace ovl
