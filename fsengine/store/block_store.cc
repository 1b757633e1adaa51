// SPDX-License-Identifier: BSD-3-Clause
//
// A block's bytes are written before its bit is set, and the bit never goes
// back: a reader that finds it set finds the bytes. The header is created
// last and removed first, so that a store with a header is whole.
#include "fsengine/store/block_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "fsengine/base/read_at.h"
#include "fsengine/store/store_header.h"

namespace ovl {
namespace {

const char* const kBlocksName = "blocks";
const char* const kMapName = "written";

// Real bytes, not holes: WrittenMap writes to them through a mapping.
Status fill_with_zeros(Os& os, int fd, uint64_t size) {
  const std::vector<std::byte> zeros(1 << 20);
  for (uint64_t at = 0; at < size; at += zeros.size()) {
    const uint64_t n = std::min<uint64_t>(zeros.size(), size - at);
    OVL_TRY(os.pwrite(fd, std::span(zeros).first(n), at));
  }
  return {};
}

Status remove_file(Os& os, int directory, const char* name) {
  auto status = os.unlink({directory, name});
  if (!status && status.error().code() == ENOENT)
    return {};
  return std::move(status).in(name);
}

}  // namespace

Status BlockStore::open_files(int flags) {
  blocks_ =
      OVL_TRY(os_.open_file({directory_, kBlocksName}, O_RDWR | flags, 0600)
                  .in(kBlocksName));
  map_file_ = OVL_TRY(
      os_.open_file({directory_, kMapName}, O_RDWR | flags, 0600).in(kMapName));
  return {};
}

Result<std::unique_ptr<BlockStore>> BlockStore::open(Os& os, int directory,
                                                     const BaseIdentity& base) {
  const StoreHeader header = OVL_TRY(read_store_header(directory));
  if (header.phase == Phase::kPublishing)
    return fail(EUCLEAN, "a write-back to upperdir was interrupted");
  if (header.base != base)
    return fail(ESTALE,
                "it was written over other layers or with other parameters");
  std::unique_ptr<BlockStore> store(new BlockStore(os, directory, base));
  OVL_TRY(store->open_files(0));
  store->written_ =
      OVL_TRY(WrittenMap::map(store->map_file_, blocks_for(base.size)));
  return store;
}

Result<std::optional<BlockStore::Phase>> BlockStore::find(int directory) {
  const auto header = read_store_header(directory);
  if (!header && header.error().code() == ENOENT)
    return std::nullopt;
  if (!header)
    return tl::unexpected(header.error());
  return header->phase;
}

Result<std::unique_ptr<BlockStore>> BlockStore::create(
    Os& os, int directory, const BaseIdentity& base) {
  std::unique_ptr<BlockStore> store(new BlockStore(os, directory, base));
  OVL_TRY(store->open_files(O_CREAT | O_TRUNC));
  const uint64_t blocks = blocks_for(base.size);
  OVL_TRY(os.ftruncate(store->blocks_.get(), base.size).in(kBlocksName));
  OVL_TRY(
      fill_with_zeros(os, store->map_file_.get(), WrittenMap::file_size(blocks))
          .in(kMapName));
  store->written_ = OVL_TRY(WrittenMap::map(store->map_file_, blocks));
  OVL_TRY(store->set_phase(Phase::kWriting));
  return store;
}

Status BlockStore::read(uint64_t offset, std::span<std::byte> out) const {
  auto status = read_at(blocks_.get(), offset, out).in("read store");
  if (!status && status.error().code() == ESTALE)
    return fail(EIO, status.error().what());
  return status;
}

Status BlockStore::write(BlockNo first, std::span<const std::byte> blocks) {
  OVL_TRY(os_.pwrite(blocks_.get(), blocks, to_int(first) * kBlockSize)
              .in("write store"));
  written_->set(first, blocks.size() / kBlockSize);
  dirty_ = true;  // not before: a flush between would clear it too early
  return {};
}

Status BlockStore::zero(BlockNo first, uint64_t count) {
  OVL_TRY(os_.punch_hole(blocks_.get(), to_int(first) * kBlockSize,
                         count * kBlockSize)
              .in("zero store"));
  written_->set(first, count);
  dirty_ = true;
  return {};
}

Status BlockStore::flush() {
  const std::lock_guard lock(flush_mutex_);
  if (flush_failed_)
    return system_error(EIO, "flush store: an earlier flush failed");
  if (!dirty_.exchange(false))
    return {};
  auto status = os_.fdatasync(blocks_.get());
  if (status)
    status = os_.fdatasync(map_file_.get());
  flush_failed_ = !status;
  return std::move(status).in("flush store");
}

Status BlockStore::set_phase(Phase phase) {
  return write_store_header(os_, directory_, {base_, phase});
}

Status BlockStore::discard(Os& os, int directory) {
  OVL_TRY(remove_store_header(os, directory));
  OVL_TRY(remove_file(os, directory, kBlocksName));
  return remove_file(os, directory, kMapName);
}

}  // namespace ovl
