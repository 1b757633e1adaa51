// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/block_store.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <string>

#include "fsengine/base/read_at.h"
#include "fsengine/store/allocated_ranges.h"
#include "fsengine/store/copy_onto_itself.h"

namespace ovl {
namespace {

const char* const kBlocksName = "blocks";
const char* const kMapName = "written";
const char* const kProvidedName = "provided";

Status remove_file(Os& os, int directory, const char* name) {
  auto status = os.unlink({directory, name});
  if (!status && status.error().code() == ENOENT)
    return {};
  return std::move(status).in(name);
}

}  // namespace

Status BlockStore::open_files(int directory, int flags, uint64_t size) {
  blocks_ =
      OVL_TRY(os_.open_file({directory, kBlocksName}, O_RDWR | flags, 0600)
                  .in(kBlocksName));
  map_file_ = OVL_TRY(
      os_.open_file({directory, kMapName}, O_RDWR | flags, 0600).in(kMapName));
  provided_file_ =
      OVL_TRY(os_.open_file({directory, kProvidedName}, O_RDWR | flags, 0600)
                  .in(kProvidedName));
  if (flags == 0)
    return {};
  return os_.ftruncate(blocks_.get(), size).in(kBlocksName);
}

Result<std::unique_ptr<BlockStore>> BlockStore::create(Os& os, int directory,
                                                       uint64_t blocks) {
  std::unique_ptr<BlockStore> store(new BlockStore(os, blocks));
  OVL_TRY(store->open_files(directory, O_CREAT | O_TRUNC, blocks * kBlockSize));
  return store;
}

Result<std::unique_ptr<BlockStore>> BlockStore::open(Os& os, int directory,
                                                     uint64_t blocks,
                                                     bool doubtful) {
  std::unique_ptr<BlockStore> store(new BlockStore(os, blocks));
  OVL_TRY(store->open_files(directory, 0, 0));
  OVL_TRY(store->map_.load(store->map_file_.get(), doubtful).in(kMapName));
  OVL_TRY(store->provided_.load(store->provided_file_.get(), doubtful)
              .in(kProvidedName));
  return store;
}

Status BlockStore::remove(Os& os, int directory) {
  OVL_TRY(remove_file(os, directory, kBlocksName));
  OVL_TRY(remove_file(os, directory, kProvidedName));
  return remove_file(os, directory, kMapName);
}

Status BlockStore::read(uint64_t offset, std::span<std::byte> out) const {
  auto status = read_at(blocks_.get(), offset, out).in("read store");
  if (!status && status.error().code() == ESTALE)
    return fail(EIO, status.error().what());
  return status;
}

Status BlockStore::write(BlockNo first, std::span<const std::byte> blocks) {
  OVL_TRY(os_.pwrite(blocks_.get(), blocks, to_int(first) * kBlockSize)
              .in(kBlocksName));
  adopt(first, blocks.size() / kBlockSize);
  return {};
}

// In this order: who finds a block in neither map takes it for the base's.
void BlockStore::adopt(BlockNo first, uint64_t count) {
  map_.set(first, count);
  provided_.clear(first, count);
}

Status BlockStore::place(BlockNo first, std::span<const std::byte> blocks) {
  return os_.pwrite(blocks_.get(), blocks, to_int(first) * kBlockSize)
      .in(kBlocksName);
}

bool BlockStore::take_space(BlockNo first, uint64_t count,
                            uint64_t spare_bytes) const {
  struct statvfs fs {};
  if (::fstatvfs(blocks_.get(), &fs) != 0 ||
      fs.f_bavail * fs.f_frsize < spare_bytes + count * kBlockSize)
    return false;
  const Status taken = os_.take_space(blocks_.get(), to_int(first) * kBlockSize,
                                      count * kBlockSize);
  return taken || taken.error().code() != EOPNOTSUPP;
}

Status BlockStore::write_again(BlockNo first, uint64_t count) {
  return copy_onto_itself(os_, blocks_.get(), to_int(first) * kBlockSize,
                          count * kBlockSize)
      .in(kBlocksName);
}

Status BlockStore::sync_blocks() const {
  return os_.fdatasync(blocks_.get()).in(kBlocksName);
}

Status BlockStore::zero(BlockNo first, uint64_t count) {
  OVL_TRY(os_.punch_hole(blocks_.get(), to_int(first) * kBlockSize,
                         count * kBlockSize)
              .in(kBlocksName));
  adopt(first, count);
  return {};
}

Status BlockStore::release(BlockNo first, uint64_t count) {
  OVL_TRY(os_.punch_hole(blocks_.get(), to_int(first) * kBlockSize,
                         count * kBlockSize)
              .in(kBlocksName));
  provided_.clear(first, count);
  map_.clear(first, count);
  return {};
}

// In this order: a block that is in both maps is read here, where its bytes
// are.
Status BlockStore::save_maps() {
  OVL_TRY(provided_.save(os_, provided_file_.get()).in(kProvidedName));
  return map_.save(os_, map_file_.get()).in(kMapName);
}

void BlockStore::provide(BlockNo first, uint64_t count) {
  provided_.set(first, count);
  map_.clear(first, count);
}

Status BlockStore::give_back(BlockNo first, uint64_t count) {
  const uint64_t end = to_int(first) + count;
  for (uint64_t block = to_int(first); block < end;) {
    const uint64_t run = map_.run_length(BlockNo{block}, end - block);
    if (!map_.test(BlockNo{block}))
      OVL_TRY(
          os_.punch_hole(blocks_.get(), block * kBlockSize, run * kBlockSize)
              .in(kBlocksName));
    block += run;
  }
  idle_.clear(first, count);
  return {};
}

Result<std::vector<BlockRange>> BlockStore::find_unused() const {
  std::vector<BlockRange> unused;
  for (const BlockRange& range :
       OVL_TRY(allocated_ranges(blocks_.get()).in(kBlocksName)))
    for (uint64_t block = to_int(range.first); block < range.end();) {
      const uint64_t run = map_.run_length(BlockNo{block}, range.end() - block);
      if (!map_.test(BlockNo{block}))
        unused.push_back({BlockNo{block}, run});
      block += run;
    }
  return unused;
}

uint64_t BlockStore::free_blocks(BlockNo first, uint64_t most) const {
  if (map_.test(first) || idle_.test(first))
    return 0;
  return idle_.run_length(first, map_.run_length(first, most));
}

}  // namespace ovl
