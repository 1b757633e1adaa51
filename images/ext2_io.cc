// SPDX-License-Identifier: BSD-3-Clause
//
// An io_manager is opened by name, a C string, and libext2fs offers no place
// for a pointer beside it. So the channel that the next open is to use waits
// in a thread-local while ext2fs_open2 runs; nothing else reads it. The
// channel lives in the Ext2Fs, not in libext2fs: its close only lets go.
#include "images/ext2_io.h"

#include <cerrno>

#include <new>
#include <string>
#include <utility>

#include "fsengine/base/units.h"

namespace ovl {

struct Ext2Channel {
  Ext2Channel(const BlockSource& source, BlockSink writes)
      : device(source), sink(std::move(writes)) {}

  const BlockSource& device;
  BlockSink sink;
  struct_io_channel io{};
};

namespace {

// com_err tables start well above every errno.
constexpr errcode_t kFirstTableCode = 4096;

thread_local struct_io_channel* pending_channel = nullptr;

const Ext2Channel& backend_of(io_channel channel) {
  return *static_cast<const Ext2Channel*>(channel->private_data);
}

struct ByteRange {
  uint64_t offset;
  size_t length;
};

// A negative count is a count of bytes.
Result<ByteRange> byte_range(io_channel channel, unsigned long long block,
                             int count) {
  const auto block_size = static_cast<uint64_t>(channel->block_size);
  const uint64_t length = count < 0 ? static_cast<uint64_t>(-int64_t{count})
                                    : static_cast<uint64_t>(count) * block_size;
  const uint64_t end = backend_of(channel).device.size();
  if (length > end || block > (end - length) / block_size)
    return fail(EUCLEAN, "a block outside of the device");
  return ByteRange{block * block_size, static_cast<size_t>(length)};
}

Status read_range(io_channel channel, unsigned long long block, int count,
                  void* data) {
  const ByteRange range = OVL_TRY(byte_range(channel, block, count));
  return backend_of(channel).device.read(
      range.offset, {static_cast<std::byte*>(data), range.length});
}

Status write_range(io_channel channel, unsigned long long block, int count,
                   const void* data) {
  const BlockSink& sink = backend_of(channel).sink;
  if (!sink.write)
    return fail(EROFS, "the device is read-only");
  const ByteRange range = OVL_TRY(byte_range(channel, block, count));
  return sink.write(range.offset,
                    {static_cast<const std::byte*>(data), range.length});
}

// The C boundary: no exception crosses it, and only a number does.
template <typename Work>
errcode_t at_boundary(Work work) noexcept {
  try {
    const Status status = work();
    return status.has_value() ? 0 : status.error().code();
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
}

errcode_t io_open(const char*, int, io_channel* channel) noexcept {
  *channel = pending_channel;
  return pending_channel == nullptr ? EXT2_ET_BAD_DEVICE_NAME : 0;
}

errcode_t io_close(io_channel channel) noexcept {
  --channel->refcount;
  return 0;
}

errcode_t io_set_blksize(io_channel channel, int size) noexcept {
  if (size <= 0)
    return EXT2_ET_INVALID_ARGUMENT;
  channel->block_size = size;
  return 0;
}

errcode_t io_read64(io_channel channel, unsigned long long block, int count,
                    void* data) noexcept {
  return at_boundary([&] { return read_range(channel, block, count, data); });
}

errcode_t io_read(io_channel channel, unsigned long block, int count,
                  void* data) noexcept {
  return io_read64(channel, block, count, data);
}

errcode_t io_write64(io_channel channel, unsigned long long block, int count,
                     const void* data) noexcept {
  return at_boundary([&] { return write_range(channel, block, count, data); });
}

errcode_t io_write(io_channel channel, unsigned long block, int count,
                   const void* data) noexcept {
  return io_write64(channel, block, count, data);
}

errcode_t io_flush(io_channel channel) noexcept {
  return at_boundary([&]() -> Status {
    const BlockSink& sink = backend_of(channel).sink;
    return sink.flush ? sink.flush() : Status();
  });
}

struct_io_manager make_manager() {
  struct_io_manager manager{};
  manager.magic = EXT2_ET_MAGIC_IO_MANAGER;
  manager.name = "ovl device";
  manager.open = io_open;
  manager.close = io_close;
  manager.set_blksize = io_set_blksize;
  manager.read_blk = io_read;
  manager.write_blk = io_write;
  manager.flush = io_flush;
  manager.read_blk64 = io_read64;
  manager.write_blk64 = io_write64;
  return manager;
}

struct_io_manager& the_manager() {
  static struct_io_manager manager = make_manager();
  return manager;
}

void init_channel(Ext2Channel& channel) {
  static char name[] = "ovl";
  struct_io_channel& io = channel.io;
  io.magic = EXT2_ET_MAGIC_IO_CHANNEL;
  io.manager = &the_manager();
  io.name = name;
  io.block_size = 1024;
  io.refcount = 1;
  io.private_data = &channel;
}

int errno_of(errcode_t code) {
  if (code > 0 && code < kFirstTableCode)
    return static_cast<int>(code);
  return code == EXT2_ET_NO_MEMORY ? ENOMEM : EUCLEAN;
}

}  // namespace

tl::unexpected<Error> ext2_error(errcode_t code, std::string_view operation) {
  static const bool registered = (initialize_ext2_error_table(), true);
  static_cast<void>(registered);
  return fail(errno_of(code),
              std::string(operation) + ": " + error_message(code));
}

Status ext2_status(errcode_t code, std::string_view operation) {
  if (code != 0)
    return ext2_error(code, operation);
  return {};
}

Ext2Fs::Ext2Fs(std::unique_ptr<Ext2Channel> channel)
    : channel_(std::move(channel)) {
  init_channel(*channel_);
}

Ext2Fs::Ext2Fs(Ext2Fs&& other) noexcept
    : channel_(std::move(other.channel_)),
      fs_(std::exchange(other.fs_, nullptr)) {}

Ext2Fs& Ext2Fs::operator=(Ext2Fs&& other) noexcept {
  if (this != &other) {
    discard();
    channel_ = std::move(other.channel_);
    fs_ = std::exchange(other.fs_, nullptr);
  }
  return *this;
}

Ext2Fs::~Ext2Fs() {
  discard();
}

void Ext2Fs::discard() {
  if (fs_ != nullptr)
    ext2fs_free(std::exchange(fs_, nullptr));
}

Status Ext2Fs::close() {
  if (fs_ == nullptr)
    return {};
  return ext2_status(ext2fs_close_free(&fs_), "write back the file system");
}

Result<Ext2Fs> open_ext2(const BlockSource& device, BlockSink sink) {
  const int flags = EXT2_FLAG_64BITS | (sink.write ? EXT2_FLAG_RW : 0);
  Ext2Fs fs(std::make_unique<Ext2Channel>(device, std::move(sink)));
  pending_channel = &fs.channel_->io;
  const errcode_t code = ext2fs_open2("ovl", nullptr, flags, 0, kBlockSize,
                                      &the_manager(), &fs.fs_);
  pending_channel = nullptr;
  if (code != 0)
    return ext2_error(code, "open the file system");
  fs->default_bitmap_type = EXT2FS_BMAP64_BITARRAY;
  return fs;
}

}  // namespace ovl
