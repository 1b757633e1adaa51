// SPDX-License-Identifier: BSD-3-Clause
//
// A guest without a kernel: file operations on an ext2 file system, done with
// libext2fs as a kernel would do them (link counts, times of parents, free
// counts), so that the result is e2fsck clean. Paths are beneath the root,
// `a/b`, and follow no symlink. For one thread. An error names call and path;
// the file system may then be half changed, as nothing here is undone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "fsengine/base/os.h"
#include "fsengine/base/units.h"
#include "images/ext2_io.h"

namespace ovl {

/// All 256 bytes of an inode in host order.
struct GuestInode {
  ext2_inode_large fields{};
  std::byte xattrs[256 - sizeof(ext2_inode_large)]{};
};
static_assert(sizeof(GuestInode) == 256);

class GuestFs {
 public:
  /// EBUSY when the journal needs recovery. The device outlives this. Without
  /// a sink only reading works.
  static Result<GuestFs> open(const BlockSource& device, BlockSink sink = {});

  /// Writes all back; nothing is safe on the device before it.
  Status close() { return fs_.close(); }

  ext2_filsys fs() const { return fs_.get(); }

  Result<Ino> lookup(std::string_view path) const;
  Result<GuestInode> read_inode(Ino ino) const;
  Status write_inode(Ino ino, GuestInode& inode);

  Status mkdir(std::string_view path, uint32_t mode);
  /// Regular files, devices, fifos and sockets, by the type in `mode`.
  Status make_node(std::string_view path, uint32_t mode, DeviceNo rdev = {});
  Status symlink(const std::string& target, std::string_view path);
  Status link(std::string_view from, std::string_view to);
  Status unlink(std::string_view path);
  /// The last name of a file that somebody has open: its inode stays, as one
  /// that is to be freed by the next mount.
  Status unlink_in_use(std::string_view path);
  Status rmdir(std::string_view path);
  /// A directory and all below it, or whatever the name is.
  Status remove_tree(std::string_view path);
  /// Replaces what is at `to`, as rename(2) does.
  Status rename(std::string_view from, std::string_view to);

  Status write(std::string_view path, uint64_t offset,
               std::span<const std::byte> bytes);
  Status truncate(std::string_view path, uint64_t size);
  /// Makes whole blocks of a file a hole.
  Status punch(std::string_view path, uint64_t first_block, uint64_t blocks);

  Status chmod(std::string_view path, uint32_t mode);
  /// Of EXT2_IMMUTABLE_FL, _APPEND_FL, _NOATIME_FL, _SYNC_FL: these and no
  /// others. Nothing here heeds them.
  Status set_flags(std::string_view path, uint32_t flags);
  Status chown(std::string_view path, Owner owner);
  Status set_mtime(std::string_view path, Timestamp mtime);
  Status set_xattr(std::string_view path, const std::string& name,
                   std::string_view value);
  Status remove_xattr(std::string_view path, const std::string& name);

 private:
  struct Place {
    Ino parent{};
    std::string name;
  };

  explicit GuestFs(Ext2Fs fs) : fs_(std::move(fs)) {}

  Result<Place> place_of(std::string_view path) const;
  Result<Ino> child(Ino parent, const std::string& name) const;
  Result<Ino> lookup_place(const Place& place) const;
  Status expect_absent(const Place& place) const;
  Result<bool> is_empty(Ino directory) const;
  Result<bool> is_below(Ino directory, Ino ancestor) const;

  Result<Ino> new_inode(const Place& place, uint32_t mode);
  Status initialize(Ino ino, uint32_t mode);
  Status add_name(const Place& place, Ino ino, uint32_t mode);
  Status remove_name(const Place& place);
  Status change_links(Ino ino, int by);
  Status drop_link(Ino ino);
  Status drop_directory(const Place& place, Ino ino);
  Status free_inode(Ino ino, GuestInode& inode);
  Status remove_replaced(const Place& place, Ino moved);
  Status move_directory(Ino ino, Ino from, Ino to);
  Status remove_children(Ino directory, std::string_view path);
  Status change_mode(Ino ino, uint32_t mode);
  Status change_acl(Ino ino, uint32_t mode);
  Status touch(Ino ino);
  Status touch_change_time(Ino ino);

  Ext2Fs fs_;
};

}  // namespace ovl
