// SPDX-License-Identifier: BSD-3-Clause
//
// The operations on content and attributes.
#include <cerrno>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/nbd_guest_fs.h"
#include "tests/support/nbd_guest_time.h"

namespace ovl {

namespace {

constexpr size_t kMaxPiece = 1 << 20;

struct CloseFile {
  void operator()(ext2_file* file) const { ext2fs_file_close(file); }
};
using File = std::unique_ptr<ext2_file, CloseFile>;

Result<File> open_file(ext2_filsys fs, Ino ino) {
  ext2_file_t file = nullptr;
  const errcode_t code =
      ext2fs_file_open(fs, to_int(ino), EXT2_FILE_WRITE, &file);
  if (code != 0)
    return ext2_error(code, "open a file");
  return File(file);
}

Status write_piece(ext2_file_t file, std::span<const std::byte> bytes) {
  unsigned int written = 0;
  OVL_TRY(ext2_status(
      ext2fs_file_write(file, bytes.data(),
                        static_cast<unsigned int>(bytes.size()), &written),
      "write"));
  if (written != bytes.size())
    return system_error(EIO, "write: short");
  return {};
}

struct CloseXattrs {
  void operator()(ext2_xattr_handle* handle) const {
    ext2fs_xattrs_close(&handle);
  }
};
using Xattrs = std::unique_ptr<ext2_xattr_handle, CloseXattrs>;

Result<Xattrs> open_xattrs(ext2_filsys fs, Ino ino) {
  ext2_xattr_handle* handle = nullptr;
  errcode_t code = ext2fs_xattrs_open(fs, to_int(ino), &handle);
  Xattrs owned(handle);
  if (code == 0)
    code = ext2fs_xattrs_read(handle);
  if (code != 0)
    return ext2_error(code, "read attributes");
  return owned;
}

constexpr char kAccessAcl[] = "system.posix_acl_access";

// An ACL as getxattr(2) returns it: 4 bytes, then entries of 8, which begin
// with a tag and permissions of two bytes each.
constexpr size_t kAclHead = 4;
constexpr size_t kAclEntry = 8;

// The entry that the group's bits of a mode are: the mask, if there is one.
bool has_mask(std::string_view acl) {
  for (size_t at = kAclHead; at + kAclEntry <= acl.size(); at += kAclEntry)
    if (acl[at] == 0x10)
      return true;
  return false;
}

// How far the bits of this entry are shifted in a mode; nothing: not in it.
std::optional<int> shift_of(char tag, bool mask) {
  if (tag == 0x01)
    return 6;
  if (tag == (mask ? 0x10 : 0x04))
    return 3;
  if (tag == 0x20)
    return 0;
  return std::nullopt;
}

void mode_into_acl(uint32_t mode, std::string& acl) {
  const bool mask = has_mask(acl);
  for (size_t at = kAclHead; at + kAclEntry <= acl.size(); at += kAclEntry)
    if (const auto shift = shift_of(acl[at], mask))
      acl[at + 2] = static_cast<char>(mode >> *shift & 7);
}

uint32_t mode_of_acl(std::string_view acl, uint32_t mode) {
  const bool mask = has_mask(acl);
  for (size_t at = kAclHead; at + kAclEntry <= acl.size(); at += kAclEntry)
    if (const auto shift = shift_of(acl[at], mask))
      mode = (mode & ~(7U << *shift)) | (static_cast<uint32_t>(acl[at + 2]) & 7)
                                            << *shift;
  return mode;
}

}  // namespace

Status GuestFs::write(std::string_view path, uint64_t offset,
                      std::span<const std::byte> bytes) {
  const Ino ino = OVL_TRY(lookup(path));
  {
    const File file = OVL_TRY(open_file(fs(), ino));
    OVL_TRY(ext2_status(
        ext2fs_file_llseek(file.get(), offset, EXT2_SEEK_SET, nullptr),
        "seek"));
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(bytes.size(), kMaxPiece));
      OVL_TRY(write_piece(file.get(), piece));
      bytes = bytes.subspan(piece.size());
    }
    OVL_TRY(ext2_status(ext2fs_file_flush(file.get()), "flush a file"));
  }
  return touch(ino);
}

Status GuestFs::truncate(std::string_view path, uint64_t size) {
  const Ino ino = OVL_TRY(lookup(path));
  {
    const File file = OVL_TRY(open_file(fs(), ino));
    OVL_TRY(ext2_status(
        ext2fs_file_set_size2(file.get(), static_cast<ext2_off64_t>(size)),
        "truncate"));
  }
  return touch(ino);
}

Status GuestFs::punch(std::string_view path, uint64_t first_block,
                      uint64_t blocks) {
  const Ino ino = OVL_TRY(lookup(path));
  OVL_TRY(ext2_status(ext2fs_punch(fs(), to_int(ino), nullptr, nullptr,
                                   first_block, first_block + blocks - 1),
                      "punch"));
  return touch(ino);
}

Status GuestFs::chmod(std::string_view path, uint32_t mode) {
  const Ino ino = OVL_TRY(lookup(path));
  OVL_TRY(change_acl(ino, mode));
  return change_mode(ino, mode);
}

Status GuestFs::change_mode(Ino ino, uint32_t mode) {
  GuestInode inode = OVL_TRY(read_inode(ino));
  inode.fields.i_mode =
      static_cast<uint16_t>((inode.fields.i_mode & S_IFMT) | (mode & 07777));
  set_ctime_fields(inode.fields, ext_now());
  return write_inode(ino, inode);
}

// As a kernel keeps mode and access control list in step.
Status GuestFs::change_acl(Ino ino, uint32_t mode) {
  const Xattrs xattrs = OVL_TRY(open_xattrs(fs(), ino));
  void* value = nullptr;
  size_t size = 0;
  const errcode_t code =
      ext2fs_xattr_get(xattrs.get(), kAccessAcl, &value, &size);
  if (code == EXT2_ET_EA_KEY_NOT_FOUND)
    return {};
  OVL_TRY(ext2_status(code, kAccessAcl));
  std::string acl(static_cast<const char*>(value), size);
  ext2fs_free_mem(&value);
  mode_into_acl(mode, acl);
  return ext2_status(
      ext2fs_xattr_set(xattrs.get(), kAccessAcl, acl.data(), acl.size()),
      kAccessAcl);
}

Status GuestFs::set_flags(std::string_view path, uint32_t flags) {
  const Ino ino = OVL_TRY(lookup(path));
  GuestInode inode = OVL_TRY(read_inode(ino));
  constexpr uint32_t kSettable =
      EXT2_IMMUTABLE_FL | EXT2_APPEND_FL | EXT2_NOATIME_FL | EXT2_SYNC_FL;
  inode.fields.i_flags = (inode.fields.i_flags & ~kSettable) | flags;
  set_ctime_fields(inode.fields, ext_now());
  return write_inode(ino, inode);
}

Status GuestFs::chown(std::string_view path, Owner owner) {
  const Ino ino = OVL_TRY(lookup(path));
  GuestInode inode = OVL_TRY(read_inode(ino));
  inode.fields.i_uid = static_cast<uint16_t>(owner.uid);
  inode.fields.i_uid_high = static_cast<uint16_t>(owner.uid >> 16);
  inode.fields.i_gid = static_cast<uint16_t>(owner.gid);
  inode.fields.i_gid_high = static_cast<uint16_t>(owner.gid >> 16);
  set_ctime_fields(inode.fields, ext_now());
  return write_inode(ino, inode);
}

Status GuestFs::set_mtime(std::string_view path, Timestamp mtime) {
  const Ino ino = OVL_TRY(lookup(path));
  GuestInode inode = OVL_TRY(read_inode(ino));
  set_mtime_fields(inode.fields, ext_timestamp(mtime));
  set_ctime_fields(inode.fields, ext_now());
  return write_inode(ino, inode);
}

Status GuestFs::set_xattr(std::string_view path, const std::string& name,
                          std::string_view value) {
  const Ino ino = OVL_TRY(lookup(path));
  const Xattrs xattrs = OVL_TRY(open_xattrs(fs(), ino));
  OVL_TRY(ext2_status(
      ext2fs_xattr_set(xattrs.get(), name.c_str(), value.data(), value.size()),
      "set " + name));
  if (name != kAccessAcl)
    return touch_change_time(ino);
  const GuestInode inode = OVL_TRY(read_inode(ino));
  return change_mode(ino, mode_of_acl(value, inode.fields.i_mode));
}

Status GuestFs::remove_xattr(std::string_view path, const std::string& name) {
  const Ino ino = OVL_TRY(lookup(path));
  const Xattrs xattrs = OVL_TRY(open_xattrs(fs(), ino));
  OVL_TRY(ext2_status(ext2fs_xattr_remove(xattrs.get(), name.c_str()),
                      "remove " + name));
  return touch_change_time(ino);
}

}  // namespace ovl
