// SPDX-License-Identifier: BSD-3-Clause
//
// The operations on content and attributes.
#include <cerrno>

#include <algorithm>
#include <memory>
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
  GuestInode inode = OVL_TRY(read_inode(ino));
  inode.fields.i_mode =
      static_cast<uint16_t>((inode.fields.i_mode & S_IFMT) | (mode & 07777));
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
  return touch_change_time(ino);
}

Status GuestFs::remove_xattr(std::string_view path, const std::string& name) {
  const Ino ino = OVL_TRY(lookup(path));
  const Xattrs xattrs = OVL_TRY(open_xattrs(fs(), ino));
  OVL_TRY(ext2_status(ext2fs_xattr_remove(xattrs.get(), name.c_str()),
                      "remove " + name));
  return touch_change_time(ino);
}

}  // namespace ovl
