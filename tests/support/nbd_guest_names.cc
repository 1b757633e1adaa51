// SPDX-License-Identifier: BSD-3-Clause
//
// The operations on names.
#include <cerrno>
#include <ctime>

#include <string>
#include <vector>

#include "fsengine/base/paths.h"
#include "images/ext_inode.h"
#include "tests/support/nbd_guest_fs.h"
#include "tests/support/nbd_guest_time.h"

namespace ovl {

namespace {

// Retries `add` once with room for one more entry.
template <typename Add>
errcode_t with_room(ext2_filsys fs, Ino directory, Add add) {
  const errcode_t code = add();
  if (code != EXT2_ET_DIR_NO_SPACE)
    return code;
  const errcode_t expanded = ext2fs_expand_dir(fs, to_int(directory));
  return expanded != 0 ? expanded : add();
}

struct ListedName {
  std::string name;
  Ino ino{};
};

int list_name(ext2_dir_entry* entry, int, int, char*, void* data) {
  auto& names = *static_cast<std::vector<ListedName>*>(data);
  const std::string name(entry->name,
                         static_cast<size_t>(ext2fs_dirent_name_len(entry)));
  if (name != "." && name != "..")
    names.push_back({name, Ino{entry->inode}});
  return 0;
}

Result<std::vector<ListedName>> list(ext2_filsys fs, Ino directory) {
  std::vector<ListedName> names;
  const errcode_t code =
      ext2fs_dir_iterate(fs, to_int(directory), 0, nullptr, list_name, &names);
  if (code != 0)
    return ext2_error(code, "list a directory");
  return names;
}

int replace_parent(ext2_dir_entry* entry, int, int, char*, void* data) {
  if (ext2fs_dirent_name_len(entry) != 2 || entry->name[0] != '.' ||
      entry->name[1] != '.')
    return 0;
  entry->inode = *static_cast<const ext2_ino_t*>(data);
  return DIRENT_CHANGED | DIRENT_ABORT;
}

}  // namespace

Result<bool> GuestFs::is_empty(Ino directory) const {
  const auto names = OVL_TRY(list(fs(), directory));
  return names.empty();
}

// Walks up by `..`; directories are never linked twice here.
Result<bool> GuestFs::is_below(Ino directory, Ino ancestor) const {
  while (directory != Ino{EXT2_ROOT_INO}) {
    if (directory == ancestor)
      return true;
    directory = OVL_TRY(child(directory, ".."));
  }
  return directory == ancestor;
}

Status GuestFs::add_name(const Place& place, Ino ino, uint32_t mode) {
  const errcode_t code = with_room(fs(), place.parent, [&] {
    return ext2fs_link(fs(), to_int(place.parent), place.name.c_str(),
                       to_int(ino), ext_file_type(mode));
  });
  OVL_TRY(ext2_status(code, "link " + place.name));
  return touch(place.parent);
}

Status GuestFs::remove_name(const Place& place) {
  OVL_TRY(ext2_status(
      ext2fs_unlink(fs(), to_int(place.parent), place.name.c_str(), 0, 0),
      "unlink " + place.name));
  return touch(place.parent);
}

Status GuestFs::change_links(Ino ino, int by) {
  GuestInode inode = OVL_TRY(read_inode(ino));
  inode.fields.i_links_count =
      static_cast<uint16_t>(inode.fields.i_links_count + by);
  set_ctime_fields(inode.fields, ext_now());
  return write_inode(ino, inode);
}

Status GuestFs::free_inode(Ino ino, GuestInode& inode) {
  const bool is_dir = S_ISDIR(inode.fields.i_mode);
  OVL_TRY(ext2_status(ext2fs_free_ext_attr(fs(), to_int(ino), &inode.fields),
                      "free attributes"));
  if (ext2fs_inode_has_valid_blocks2(fs(), EXT2_INODE(&inode.fields)) != 0)
    OVL_TRY(
        ext2_status(ext2fs_punch(fs(), to_int(ino), EXT2_INODE(&inode.fields),
                                 nullptr, 0, ~blk64_t{0}),
                    "free blocks"));
  inode.fields.i_links_count = 0;
  inode.fields.i_size = 0;
  inode.fields.i_size_high = 0;
  inode.fields.i_dtime = ext_now().seconds;
  OVL_TRY(write_inode(ino, inode));
  ext2fs_inode_alloc_stats2(fs(), to_int(ino), -1, is_dir ? 1 : 0);
  return {};
}

Status GuestFs::drop_link(Ino ino) {
  GuestInode inode = OVL_TRY(read_inode(ino));
  if (inode.fields.i_links_count <= 1)
    return free_inode(ino, inode);
  return change_links(ino, -1);
}

Status GuestFs::drop_directory(const Place& place, Ino ino) {
  GuestInode inode = OVL_TRY(read_inode(ino));
  OVL_TRY(remove_name(place));
  OVL_TRY(free_inode(ino, inode));
  return change_links(place.parent, -1);
}

Status GuestFs::mkdir(std::string_view path, uint32_t mode) {
  const Place place = OVL_TRY(place_of(path));
  OVL_TRY(expect_absent(place));
  const errcode_t code = with_room(fs(), place.parent, [&] {
    return ext2fs_mkdir(fs(), to_int(place.parent), 0, place.name.c_str());
  });
  OVL_TRY(ext2_status(code, "mkdir " + std::string(path)));
  const Ino made = OVL_TRY(lookup_place(place));
  OVL_TRY(initialize(made, S_IFDIR | (mode & 07777)));
  return touch(place.parent);
}

Result<Ino> GuestFs::new_inode(const Place& place, uint32_t mode) {
  ext2_ino_t ino = 0;
  OVL_TRY(ext2_status(ext2fs_new_inode(fs(), to_int(place.parent),
                                       static_cast<int>(mode), nullptr, &ino),
                      "new inode"));
  GuestInode inode;
  inode.fields.i_mode = static_cast<uint16_t>(mode);
  inode.fields.i_links_count = 1;
  if (S_ISREG(mode) && ext2fs_has_feature_extents(fs()->super))
    inode.fields.i_flags = EXT4_EXTENTS_FL;
  ext2fs_inode_alloc_stats2(fs(), ino, 1, 0);
  OVL_TRY(write_inode(Ino{ino}, inode));
  OVL_TRY(initialize(Ino{ino}, mode));
  return Ino{ino};
}

Status GuestFs::make_node(std::string_view path, uint32_t mode, DeviceNo rdev) {
  const Place place = OVL_TRY(place_of(path));
  OVL_TRY(expect_absent(place));
  const Ino ino = OVL_TRY(new_inode(place, mode));
  if (S_ISCHR(mode) || S_ISBLK(mode)) {
    GuestInode inode = OVL_TRY(read_inode(ino));
    const uint32_t major = rdev.major_no();
    const uint32_t minor = rdev.minor_no();
    if (major < 256 && minor < 256)
      inode.fields.i_block[0] = major << 8 | minor;
    else
      inode.fields.i_block[1] =
          (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
    OVL_TRY(write_inode(ino, inode));
  }
  return add_name(place, ino, mode);
}

Status GuestFs::symlink(const std::string& target, std::string_view path) {
  const Place place = OVL_TRY(place_of(path));
  OVL_TRY(expect_absent(place));
  const errcode_t code = with_room(fs(), place.parent, [&] {
    return ext2fs_symlink(fs(), to_int(place.parent), 0, place.name.c_str(),
                          target.c_str());
  });
  OVL_TRY(ext2_status(code, "symlink " + std::string(path)));
  const Ino made = OVL_TRY(lookup_place(place));
  OVL_TRY(initialize(made, S_IFLNK | 0777));
  return touch(place.parent);
}

Status GuestFs::link(std::string_view from, std::string_view to) {
  const Ino ino = OVL_TRY(lookup(from));
  const Place place = OVL_TRY(place_of(to));
  OVL_TRY(expect_absent(place));
  const GuestInode inode = OVL_TRY(read_inode(ino));
  if (S_ISDIR(inode.fields.i_mode))
    return system_error(EPERM, "link " + std::string(from));
  OVL_TRY(add_name(place, ino, inode.fields.i_mode));
  return change_links(ino, 1);
}

Status GuestFs::unlink(std::string_view path) {
  const Place place = OVL_TRY(place_of(path));
  const Ino ino = OVL_TRY(lookup_place(place));
  const GuestInode inode = OVL_TRY(read_inode(ino));
  if (S_ISDIR(inode.fields.i_mode))
    return system_error(EISDIR, "unlink " + std::string(path));
  OVL_TRY(remove_name(place));
  return drop_link(ino);
}

Status GuestFs::unlink_in_use(std::string_view path) {
  const Place place = OVL_TRY(place_of(path));
  const Ino ino = OVL_TRY(lookup_place(place));
  OVL_TRY(remove_name(place));
  GuestInode inode = OVL_TRY(read_inode(ino));
  inode.fields.i_links_count = 0;
  inode.fields.i_dtime = fs()->super->s_last_orphan;
  fs()->super->s_last_orphan = to_int(ino);
  ext2fs_mark_super_dirty(fs());
  return write_inode(ino, inode);
}

Status GuestFs::rmdir(std::string_view path) {
  const Place place = OVL_TRY(place_of(path));
  const Ino ino = OVL_TRY(lookup_place(place));
  const bool empty = OVL_TRY(is_empty(ino));
  if (!empty)
    return system_error(ENOTEMPTY, "rmdir " + std::string(path));
  return drop_directory(place, ino);
}

Status GuestFs::remove_children(Ino directory, std::string_view path) {
  const auto names = OVL_TRY(list(fs(), directory));
  for (const ListedName& name : names)
    OVL_TRY(remove_tree(join_path(path, name.name)));
  return {};
}

Status GuestFs::remove_tree(std::string_view path) {
  const Ino ino = OVL_TRY(lookup(path));
  const GuestInode inode = OVL_TRY(read_inode(ino));
  if (!S_ISDIR(inode.fields.i_mode))
    return unlink(path);
  OVL_TRY(remove_children(ino, path));
  return rmdir(path);
}

// Makes way for `moved`, under the rules of rename(2).
Status GuestFs::remove_replaced(const Place& place, Ino moved) {
  const Ino there = OVL_TRY(lookup_place(place));
  const GuestInode old = OVL_TRY(read_inode(there));
  const GuestInode mover = OVL_TRY(read_inode(moved));
  const bool is_dir = S_ISDIR(old.fields.i_mode);
  if (is_dir != S_ISDIR(mover.fields.i_mode))
    return system_error(is_dir ? EISDIR : ENOTDIR, "rename " + place.name);
  if (!is_dir) {
    OVL_TRY(remove_name(place));
    return drop_link(there);
  }
  const bool empty = OVL_TRY(is_empty(there));
  if (!empty)
    return system_error(ENOTEMPTY, "rename " + place.name);
  return drop_directory(place, there);
}

Status GuestFs::move_directory(Ino ino, Ino from, Ino to) {
  ext2_ino_t parent = to_int(to);
  OVL_TRY(ext2_status(
      ext2fs_dir_iterate(fs(), to_int(ino), DIRENT_FLAG_INCLUDE_EMPTY, nullptr,
                         replace_parent, &parent),
      "set '..'"));
  OVL_TRY(change_links(from, -1));
  return change_links(to, 1);
}

Status GuestFs::rename(std::string_view from, std::string_view to) {
  const Place old_place = OVL_TRY(place_of(from));
  const Place new_place = OVL_TRY(place_of(to));
  const Ino ino = OVL_TRY(lookup_place(old_place));
  const GuestInode inode = OVL_TRY(read_inode(ino));
  const bool is_dir = S_ISDIR(inode.fields.i_mode);
  const bool into_itself = OVL_TRY(is_below(new_place.parent, ino));
  if (is_dir && into_itself)
    return system_error(EINVAL, "rename " + std::string(from));

  const Result<Ino> there = lookup_place(new_place);
  if (there.has_value() && *there == ino)
    return {};
  if (there.has_value())
    OVL_TRY(remove_replaced(new_place, ino));
  else if (there.error().code() != ENOENT)
    return tl::unexpected(there.error());
  OVL_TRY(add_name(new_place, ino, inode.fields.i_mode));
  OVL_TRY(remove_name(old_place));
  if (is_dir && old_place.parent != new_place.parent)
    OVL_TRY(move_directory(ino, old_place.parent, new_place.parent));
  return touch_change_time(ino);
}

}  // namespace ovl
