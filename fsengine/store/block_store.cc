// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/block_store.h"

#include <fcntl.h>

#include <cerrno>

#include "fsengine/base/read_at.h"

namespace ovl {
namespace {

const char* const kBlocksName = "blocks";
const char* const kMapName = "written";

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
                                                     uint64_t blocks) {
  std::unique_ptr<BlockStore> store(new BlockStore(os, blocks));
  OVL_TRY(store->open_files(directory, 0, 0));
  OVL_TRY(store->map_.load(store->map_file_.get()).in(kMapName));
  return store;
}

Status BlockStore::remove(Os& os, int directory) {
  OVL_TRY(remove_file(os, directory, kBlocksName));
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
  map_.set(first, blocks.size() / kBlockSize);
  return {};
}

Status BlockStore::place(BlockNo first, std::span<const std::byte> blocks) {
  return os_.pwrite(blocks_.get(), blocks, to_int(first) * kBlockSize)
      .in(kBlocksName);
}

Status BlockStore::sync_blocks() const {
  return os_.fdatasync(blocks_.get()).in(kBlocksName);
}

Status BlockStore::zero(BlockNo first, uint64_t count) {
  OVL_TRY(os_.punch_hole(blocks_.get(), to_int(first) * kBlockSize,
                         count * kBlockSize)
              .in(kBlocksName));
  map_.set(first, count);
  return {};
}

Status BlockStore::release(BlockNo first, uint64_t count) {
  OVL_TRY(os_.punch_hole(blocks_.get(), to_int(first) * kBlockSize,
                         count * kBlockSize)
              .in(kBlocksName));
  map_.clear(first, count);
  return {};
}

Status BlockStore::save_map() {
  return map_.save(os_, map_file_.get()).in(kMapName);
}

void BlockStore::forget(BlockNo first, uint64_t count) {
  forgotten_.set(first, count);
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
  forgotten_.clear(first, count);
  return {};
}

bool BlockStore::is_free(BlockNo first, uint64_t count) const {
  return !map_.test(first) && map_.run_length(first, count) == count &&
         !forgotten_.test(first) &&
         forgotten_.run_length(first, count) == count;
}

}  // namespace ovl
