// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/nbd_guest_dump.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "fsengine/base/paths.h"
#include "images/acl.h"
#include "images/ext_block_map.h"
#include "images/ext_file.h"
#include "tests/support/nbd_guest_time.h"

namespace ovl {

namespace {

struct Found {
  std::string path;
  Ino ino{};
};

struct Listing {
  std::string_view directory;
  std::vector<Found>& found;
};

int add_found(ext2_dir_entry* entry, int, int, char*, void* data) {
  auto& listing = *static_cast<Listing*>(data);
  const std::string name(entry->name,
                         static_cast<size_t>(ext2fs_dirent_name_len(entry)));
  if (name != "." && name != "..")
    listing.found.push_back(
        {join_path(listing.directory, name), Ino{entry->inode}});
  return 0;
}

int add_name(char* name, char*, size_t, void* data) {
  static_cast<std::vector<std::string>*>(data)->emplace_back(name);
  return 0;
}

struct CloseXattrs {
  void operator()(ext2_xattr_handle* handle) const {
    ext2fs_xattrs_close(&handle);
  }
};
using Xattrs = std::unique_ptr<ext2_xattr_handle, CloseXattrs>;

struct FreeMemory {
  void operator()(void* memory) const { ext2fs_free_mem(&memory); }
};

bool is_acl(const std::string& name) {
  return name.starts_with("system.posix_acl_");
}

// The handle is raw: the conversion of libext2fs writes no id where getxattr(2)
// has -1.
Result<std::string> value_of(ext2_xattr_handle* handle,
                             const std::string& name) {
  void* value = nullptr;
  size_t size = 0;
  const errcode_t code = ext2fs_xattr_get(handle, name.c_str(), &value, &size);
  if (code != 0)
    return ext2_error(code, name);
  const std::unique_ptr<void, FreeMemory> owned(value);
  const std::string_view stored(static_cast<const char*>(value), size);
  return is_acl(name) ? acl_from_disk(stored) : std::string(stored);
}

// What lies below the end, in the file's order.
std::vector<DataRun> visible_runs(const BlockMap& map, uint64_t end) {
  std::vector<DataRun> runs;
  for (const MappedRun& run : map.runs) {
    if (run.file_block >= end)
      break;
    const auto first = static_cast<uint32_t>(run.file_block);
    const auto blocks =
        static_cast<uint32_t>(std::min(run.count, end - run.file_block));
    if (!runs.empty() && runs.back().first_block + runs.back().blocks == first)
      runs.back().blocks += blocks;
    else
      runs.push_back({first, blocks});
  }
  return runs;
}

class Dumper {
 public:
  Dumper(const GuestFs& fs, const BlockSource& device)
      : fs_(fs), device_(device) {}

  Result<Manifest> run();

 private:
  Status add(const Found& found);
  Status add_content(const ExtInode& inode, ManifestEntry& entry);
  Result<XattrSet> xattrs_of(Ino ino) const;
  Result<BlockMap> map_of(Ino ino, const ExtInode& inode) const;

  const GuestFs& fs_;
  const BlockSource& device_;
  std::vector<Found> pending_;
  Manifest manifest_;
};

Result<Manifest> Dumper::run() {
  pending_.push_back({"", Ino{EXT2_ROOT_INO}});
  while (!pending_.empty()) {
    const Found found = pending_.back();
    pending_.pop_back();
    OVL_TRY(add(found).in("/" + found.path));
  }
  return std::move(manifest_);
}

Result<XattrSet> Dumper::xattrs_of(Ino ino) const {
  ext2_xattr_handle* handle = nullptr;
  OVL_TRY(ext2_status(ext2fs_xattrs_open(fs_.fs(), to_int(ino), &handle),
                      "open attributes"));
  const Xattrs owned(handle);
  unsigned raw = XATTR_HANDLE_FLAG_RAW;
  OVL_TRY(ext2_status(ext2fs_xattrs_flags(handle, &raw, nullptr), "flags"));
  OVL_TRY(ext2_status(ext2fs_xattrs_read(handle), "read attributes"));
  std::vector<std::string> names;
  OVL_TRY(ext2_status(ext2fs_xattrs_iterate(handle, add_name, &names),
                      "list attributes"));
  XattrSet set;
  for (const std::string& name : names) {
    std::string value = OVL_TRY(value_of(handle, name));
    set.push_back({name, std::move(value)});
  }
  return set;
}

Result<BlockMap> Dumper::map_of(Ino ino, const ExtInode& inode) const {
  return read_block_map(fs_.fs(), ino, inode,
                        [](BlockNo, uint64_t) { return Status(); });
}

Status Dumper::add_content(const ExtInode& inode, ManifestEntry& entry) {
  const Ino ino{static_cast<uint32_t>(entry.link_key.number)};
  entry.size = inode.size();
  BlockMap map;
  if (!inode.is_fast_symlink())
    map = OVL_TRY(map_of(ino, inode));
  if (S_ISLNK(entry.mode)) {
    entry.target = OVL_TRY(read_target(device_, inode, &map));
    return {};
  }
  entry.data_runs = visible_runs(map, blocks_for(entry.size));
  entry.content = OVL_TRY(
      hash_content(ExtFile(device_, std::move(map.runs), inode.size())));
  return {};
}

Status Dumper::add(const Found& found) {
  const GuestInode raw = OVL_TRY(fs_.read_inode(found.ino));
  ExtInode::Bytes bytes;
  std::memcpy(bytes.data(), &raw, sizeof raw);
  const ExtInode inode(bytes);
  ManifestEntry entry;
  entry.path = found.path;
  entry.mode = inode.mode();
  entry.uid = inode.uid();
  entry.gid = inode.gid();
  entry.mtime_sec = inode.mtime().sec;
  entry.mtime_nsec = inode.mtime().nsec;
  entry.rdev_major = inode.rdev().major_no();
  entry.rdev_minor = inode.rdev().minor_no();
  entry.link_key = {0, to_int(found.ino)};
  entry.is_immutable = (inode.flags() & EXT2_IMMUTABLE_FL) != 0;
  entry.is_append_only = (inode.flags() & EXT2_APPEND_FL) != 0;
  entry.xattrs = OVL_TRY(xattrs_of(found.ino));
  if (S_ISREG(entry.mode) || S_ISLNK(entry.mode))
    OVL_TRY(add_content(inode, entry));
  const bool is_dir = S_ISDIR(entry.mode);
  manifest_.add(std::move(entry));
  if (!is_dir)
    return {};
  Listing listing{found.path, pending_};
  return ext2_status(ext2fs_dir_iterate(fs_.fs(), to_int(found.ino), 0, nullptr,
                                        add_found, &listing),
                     "list");
}

}  // namespace

Result<Manifest> dump_guest(const GuestFs& fs, const BlockSource& device) {
  return Dumper(fs, device).run();
}

}  // namespace ovl
