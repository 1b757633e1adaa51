// SPDX-License-Identifier: BSD-3-Clause
//
// Of a file that is large a guest may change one byte, and upper must have all
// of it. The copy is made in a directory of its own, which no attempt that
// fails empties, a slice at a time:
//
//   bytes of some chunks written to `data` -> `data` synced -> `record`, which
//   says that it has them, written beside the old one, synced, renamed
//
// Invariant: a chunk that the record names has, wherever the lower has data,
// the lower's bytes, on disk. So after a kill or a loss of power, whatever it
// keeps of data and record, the copy goes on from the record, and what that
// names is never read again. What it does not name is written anew: a chunk may
// be there in part, or with other bytes.
//
// A file of the guest's gets the copy by a second link, in staging: when the
// attempt fails, staging is emptied, and the copy is still there. But by then
// it may have bytes and attributes of the guest's file:
//
//   record without the chunks that will not stay the lower's, and `taken`,
//   written -> link -> the guest's ranges, holes, size and attributes
//
// A copy that was taken loses its attributes before it is used again. One whose
// data has a second link when staging is empty is a file of upper's: its name
// here is removed, and the record first, durably. For once the file changes
// further in upper, or goes from there, nothing tells it from a copy but that.
//
// Renaming it into staging would be simpler, and would cost all of it for each
// attempt that finds no space for something else.
#include "fsengine/overlay/lower_copy.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "fsengine/base/dir_names.h"
#include "fsengine/base/units.h"
#include "fsengine/overlay/empty_directory.h"
#include "fsengine/overlay/host_object.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {
namespace {

const char* const kData = "data";
constexpr uint64_t kProbedBytes = 64 << 10;

std::string name_of(const Node& node) {
  return std::to_string(node.layer) + "-" + std::to_string(node.host_ino);
}

Result<LowerIdentity> identify(const LowerCopy::Source& source) {
  OVL_TRY(source.files.check(source.node));
  const auto file = OVL_TRY(source.files.hold(source.node));
  struct statx st {};
  if (::statx(file->get(), "", AT_EMPTY_PATH, STATX_BTIME, &st) != 0)
    return last_error("statx");
  const Node& node = source.pool[source.node];
  LowerIdentity identity{.layer = node.layer,
                         .ino = node.host_ino,
                         .size = node.size,
                         .mtime = {node.mtime_sec, node.mtime_nsec},
                         .birth = {}};
  if ((st.stx_mask & STATX_BTIME) != 0)
    identity.birth = Timestamp{st.stx_btime.tv_sec, st.stx_btime.tv_nsec};
  return identity;
}

Result<Fd> open_directory(int dir, const std::string& name) {
  Fd fd(::openat(dir, name.c_str(),
                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open())
    return last_error("open");
  return fd;
}

Result<Fd> open_or_make(Os& os, int copies, const std::string& name) {
  auto made = os.make_dir({copies, name}, 0700);
  if (!made && made.error().code() != EEXIST)
    return tl::unexpected(made.error());
  OVL_TRY(os.fsync(copies));
  return open_directory(copies, name);
}

// The record first.
Status make_empty(Os& os, int directory) {
  OVL_TRY(remove_copy_record(os, directory));
  return empty_directory(os, directory);
}

Result<uint64_t> links_of_data(int directory) {
  struct stat st {};
  if (::fstatat(directory, kData, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return last_error("data: stat");
  return S_ISREG(st.st_mode) ? uint64_t{st.st_nlink} : uint64_t{0};
}

bool cannot_link(const Error& error) {
  return error.code() == EPERM || error.code() == EOPNOTSUPP ||
         error.code() == ENOSYS || error.code() == EMLINK;
}

// Calls `visit` with each chunk that blocks [first, end) of a file are in, and
// how many of them.
template <typename Visit>
void for_each_chunk(uint64_t first, uint64_t end, Visit visit) {
  constexpr uint64_t kBlocks = kCopyChunk / kBlockSize;
  while (first < end) {
    const uint64_t chunk = first / kBlocks;
    const uint64_t last = std::min(end, (chunk + 1) * kBlocks);
    visit(chunk, last - first);
    first = last;
  }
}

}  // namespace

Result<std::unique_ptr<LowerCopy>> LowerCopy::open(Os& os, int copies,
                                                   const Source& source) {
  const std::string name = name_of(source.pool[source.node]);
  const auto identity = identify(source);
  if (!identity && has_drifted(source))
    OVL_TRY(remove(os, copies, name));
  if (!identity)
    return tl::unexpected(identity.error());
  Fd directory = OVL_TRY(open_or_make(os, copies, name));
  std::unique_ptr<LowerCopy> copy(
      new LowerCopy(os, source, std::move(directory)));
  if (!copy->take_up(*identity))
    OVL_TRY(copy->begin(*identity));
  return copy;
}

bool LowerCopy::has_drifted(const Source& source) {
  const auto file = source.files.hold(source.node);
  return !file &&
         (file.error().code() == ESTALE || file.error().code() == ENOENT ||
          file.error().code() == ENOTDIR);
}

Status LowerCopy::take_up(const LowerIdentity& identity) {
  record_ = OVL_TRY(read_copy_record(directory_.get()));
  if (record_.of != identity || OVL_TRY(links_of_data(directory_.get())) != 1)
    return fail(ESTALE, "a copy of another file, or not one any more");
  return record_.is_taken ? make_plain() : Status();
}

Status LowerCopy::begin(const LowerIdentity& identity) {
  OVL_TRY(make_empty(os_, directory_.get()));
  record_ = {.of = identity,
             .is_taken = false,
             .chunks = std::vector<bool>(identity.chunks())};
  OVL_TRY(os_.open_file({directory_.get(), kData}, O_WRONLY | O_CREAT | O_EXCL,
                        0600));
  return os_.fsync(directory_.get());
}

Status LowerCopy::sweep(Os& os, int copies) {
  for (const std::string& name : OVL_TRY(list_names(copies)))
    if (!is_of_use(copies, name))
      OVL_TRY(remove(os, copies, name).in(name));
  return {};
}

bool LowerCopy::is_of_use(int copies, const std::string& name) {
  const auto directory = open_directory(copies, name);
  if (!directory || !read_copy_record(directory->get()))
    return false;
  const auto links = links_of_data(directory->get());
  return links && *links == 1;
}

Status LowerCopy::remove(Os& os, int copies, const std::string& name) {
  const auto directory = open_directory(copies, name);
  if (!directory && directory.error().code() == ENOENT)
    return {};
  if (!directory && directory.error().code() == ENOTDIR)
    return os.unlink({copies, name});
  if (!directory)
    return tl::unexpected(directory.error());
  OVL_TRY(make_empty(os, directory->get()));
  return os.remove_dir({copies, name});
}

Status LowerCopy::remove_all(Os& os, int copies) {
  for (const std::string& name : OVL_TRY(list_names(copies)))
    OVL_TRY(remove(os, copies, name).in(name));
  return {};
}

// Many copies may wait for the last one to be complete.
Result<Fd> LowerCopy::open_data() const {
  return os_.open_file({directory_.get(), kData}, O_WRONLY, 0);
}

Status LowerCopy::copy(std::span<const uint64_t> chunks) {
  if (record_.is_taken)
    OVL_TRY(make_plain());
  const Fd data = OVL_TRY(open_data());
  std::vector<std::byte> buffer(kCopyChunk);
  CopyRecord record = record_;
  for (const uint64_t chunk : chunks) {
    OVL_TRY(copy_chunk(data.get(), chunk, buffer));
    record.chunks[chunk] = true;
  }
  OVL_TRY(os_.fdatasync(data.get()));
  OVL_TRY(write_copy_record(os_, directory_.get(), record));
  record_ = std::move(record);
  return {};
}

Status LowerCopy::copy_chunk(int data, uint64_t chunk,
                             std::span<std::byte> buffer) {
  const uint64_t begin = chunk * kCopyChunk;
  const uint64_t end = std::min(begin + kCopyChunk, record_.of.size);
  const auto end_of = [](const DataRun& run) {
    return (uint64_t{run.first_block} + run.blocks) * kBlockSize;
  };
  auto run = std::ranges::upper_bound(runs_, begin, {}, end_of);
  for (; run != runs_.end(); ++run) {
    const uint64_t from =
        std::max(begin, uint64_t{run->first_block} * kBlockSize);
    const uint64_t to = std::min(end, end_of(*run));
    if (from >= to)
      break;
    const auto bytes = buffer.first(to - from);
    OVL_TRY(source_.files.read(source_.node, from, bytes));
    OVL_TRY(os_.pwrite(data, bytes, from));
  }
  return {};
}

bool LowerCopy::is_empty() const {
  return std::ranges::count(record_.chunks, true) == 0;
}

Result<bool> LowerCopy::can_share() const {
  if (runs_.empty())
    return false;
  const uint64_t at = uint64_t{runs_.front().first_block} * kBlockSize;
  const uint64_t length =
      std::min({kProbedBytes, uint64_t{runs_.front().blocks} * kBlockSize,
                (record_.of.size - at) / kBlockSize * kBlockSize});
  const auto file = OVL_TRY(source_.files.hold(source_.node));
  const Fd data = OVL_TRY(open_data());
  return length > 0 &&
         os_.share_range(file->get(), at, data.get(), at, length).has_value();
}

Result<bool> LowerCopy::give(const At& at, std::span<const ByteRange> kept) {
  OVL_TRY(source_.files.check(source_.node));
  if (OVL_TRY(links_of_data(directory_.get())) != 1)
    return false;  // another file has got it
  if (record_.is_taken)
    OVL_TRY(make_plain());
  keep_only(kept);
  record_.is_taken = true;
  OVL_TRY(write_copy_record(os_, directory_.get(), record_));
  auto linked = os_.link({directory_.get(), kData}, at);
  if (!linked && cannot_link(linked.error()))
    return false;
  OVL_TRY(std::move(linked));
  return true;
}

Status LowerCopy::make_plain() {
  const At data{directory_.get(), kData};
  OVL_TRY(os_.chmod(data, 0600));
  for (const Xattr& xattr : OVL_TRY(read_host_object(data.dir, kData)).xattrs)
    OVL_TRY(os_.remove_xattr(data, xattr.name));
  return {};
}

void LowerCopy::keep_only(std::span<const ByteRange> kept) {
  std::vector<uint64_t> lost(chunks());
  for (const DataRun& run : runs_)
    for_each_chunk(
        run.first_block, uint64_t{run.first_block} + run.blocks,
        [&lost](uint64_t chunk, uint64_t blocks) { lost[chunk] += blocks; });
  for (const ByteRange& range : kept)
    for_each_chunk(
        range.begin / kBlockSize, range.end / kBlockSize,
        [&lost](uint64_t chunk, uint64_t blocks) { lost[chunk] -= blocks; });
  for (uint64_t chunk = 0; chunk < lost.size(); ++chunk)
    if (lost[chunk] > 0)
      record_.chunks[chunk] = false;
}

}  // namespace ovl
