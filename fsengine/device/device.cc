// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/device.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "fsengine/device/host_facts.h"

namespace ovl {
namespace {

constexpr uint64_t kDefaultFreeSpace = uint64_t{8} << 30;

XattrFamily family_of(const DeviceConfig& config) {
  if (!config.userxattr)
    return default_family();
  return *config.userxattr ? XattrFamily::kUser : XattrFamily::kTrusted;
}

ImageOptions image_options(const DeviceConfig& config, bool writable) {
  ImageOptions options;
  options.type = config.type;
  options.size = config.size.value_or(SizeRequest{
      SizeRequest::Kind::kFreeSpace, writable ? kDefaultFreeSpace : 0});
  options.label = config.label;
  options.uuid = config.uuid;
  options.journal = config.journal.value_or(writable);
  return options;
}

}  // namespace

Result<std::unique_ptr<Device>> Device::open(DeviceConfig config, Os& os) {
  OVL_TRY(check_layers(config));
  std::unique_ptr<Device> device(new Device(std::move(config), os));
  if (device->config_.work)
    device->places_ = OVL_TRY(Places::open(device->config_));
  if (device->places_)
    OVL_TRY(device->finish_write_back());
  OVL_TRY(device->open_stack());
  OVL_TRY(device->open_image());
  if (device->places_)
    OVL_TRY(device->open_store());
  return device;
}

Device::Device(DeviceConfig config, Os& os)
    : config_(std::move(config)),
      os_(os),
      family_(family_of(config_)),
      redirect_dir_(family_ == XattrFamily::kTrusted &&
                    config_.redirect_dir.value_or(kernel_follows_redirects())) {
}

Status Device::open_stack() {
  stack_ = OVL_TRY(
      Stack::open({config_.lowers, config_.data_only, config_.upper, family_}));
  files_ = std::make_unique<FileReader>(*stack_, config_.report);
  return {};
}

Status Device::open_image() {
  image_ = OVL_TRY(Image::build(stack_->lower(), stack_->merged(),
                                image_options(config_, is_writable())));
  return {};
}

BaseIdentity Device::base_identity() const {
  return {image_->size(), image_->fingerprint()};
}

Status Device::open_store() {
  state_dir_ = OVL_TRY(places_->state_dir());
  if (!state_dir_.is_open())
    return {};
  auto store = BlockStore::open(os_, state_dir_.get(), base_identity());
  if (!store && store.error().code() == ENOENT)
    return {};
  if (!store)
    return tl::unexpected(store.error().in(
        "workdir: " + *config_.work + "/ovl: cannot go on from what is kept"));
  store_owner_ = std::move(*store);
  store_ = store_owner_.get();
  return {};
}

Result<BlockStore*> Device::ensure_store() {
  if (BlockStore* store = store_)
    return store;
  const std::lock_guard lock(store_mutex_);
  if (BlockStore* store = store_)
    return store;
  state_dir_ = OVL_TRY(places_->ensure_state_dir(os_));
  store_owner_ =
      OVL_TRY(BlockStore::create(os_, state_dir_.get(), base_identity())
                  .in("workdir: ovl"));
  store_ = store_owner_.get();
  return store_owner_.get();
}

Status Device::read(uint64_t offset, std::span<std::byte> out) {
  const BlockStore* store = store_;
  if (store == nullptr)
    return read_base(offset, out);
  while (!out.empty()) {
    const BlockNo block{offset / kBlockSize};
    const uint64_t into = offset % kBlockSize;
    const uint64_t run =
        store->written().run_length(block, blocks_for(into + out.size()));
    const uint64_t n = std::min<uint64_t>(out.size(), run * kBlockSize - into);
    if (store->written().test(block))
      OVL_TRY(store->read(offset, out.first(n)));
    else
      OVL_TRY(read_base(offset, out.first(n)));
    out = out.subspan(n);
    offset += n;
  }
  return {};
}

Device::Extent Device::extent_at(uint64_t offset, uint64_t length) const {
  if (const BlockStore* store = store_) {
    const WrittenMap& written = store->written();
    const BlockNo block{offset / kBlockSize};
    const uint64_t into = offset % kBlockSize;
    const uint64_t run = written.run_length(block, blocks_for(into + length));
    length = std::min(length, run * kBlockSize - into);
    if (written.test(block))
      return {length, false};
  }
  const Segment segment = image_->resolve(offset, length);
  return {segment.length, segment.kind == Segment::Kind::kZero};
}

Status Device::read_base(uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const Segment segment = image_->resolve(offset, out.size());
    OVL_TRY(read_segment(segment, offset, out.first(segment.length)));
    out = out.subspan(segment.length);
    offset += segment.length;
  }
  return {};
}

Status Device::read_segment(const Segment& segment, uint64_t offset,
                            std::span<std::byte> out) {
  switch (segment.kind) {
    case Segment::Kind::kZero:
      std::ranges::fill(out, std::byte{0});
      return {};
    case Segment::Kind::kMetadata:
      image_->read_metadata(offset, out);
      return {};
    case Segment::Kind::kFile:
      return files_->read(segment.node, segment.file_offset, out);
  }
  return {};
}

// A part of one block: the rest of the block stays, so it is read first.
// One at a time, or two parts of a block would undo each other.
template <typename Change>
Status Device::change_part(uint64_t offset, uint64_t length, Change change) {
  BlockStore* store = OVL_TRY(ensure_store());
  const std::lock_guard lock(store_mutex_);
  std::vector<std::byte> block(kBlockSize);
  const uint64_t start = offset / kBlockSize * kBlockSize;
  OVL_TRY(read(start, block));
  change(std::span(block).subspan(offset - start, length));
  return store->write(BlockNo{start / kBlockSize}, block);
}

Status Device::write(uint64_t offset, std::span<const std::byte> bytes) {
  BlockStore* store = OVL_TRY(ensure_store());
  while (!bytes.empty()) {
    const uint64_t into = offset % kBlockSize;
    const bool whole = into == 0 && bytes.size() >= kBlockSize;
    const uint64_t n =
        whole ? bytes.size() / kBlockSize * kBlockSize
              : std::min<uint64_t>(bytes.size(), kBlockSize - into);
    const auto now = bytes.first(n);
    if (whole)
      OVL_TRY(store->write(BlockNo{offset / kBlockSize}, now));
    else
      OVL_TRY(change_part(offset, n, [now](std::span<std::byte> part) {
        std::ranges::copy(now, part.begin());
      }));
    bytes = bytes.subspan(n);
    offset += n;
  }
  return {};
}

Status Device::zero(uint64_t offset, uint64_t length) {
  BlockStore* store = OVL_TRY(ensure_store());
  while (length > 0) {
    const uint64_t into = offset % kBlockSize;
    const bool whole = into == 0 && length >= kBlockSize;
    const uint64_t n = whole ? length / kBlockSize * kBlockSize
                             : std::min<uint64_t>(length, kBlockSize - into);
    if (whole)
      OVL_TRY(store->zero(BlockNo{offset / kBlockSize}, n / kBlockSize));
    else
      OVL_TRY(change_part(offset, n, [](std::span<std::byte> part) {
        std::ranges::fill(part, std::byte{0});
      }));
    length -= n;
    offset += n;
  }
  return {};
}

Status Device::flush() {
  BlockStore* store = store_;
  return store == nullptr ? Status() : store->flush();
}

}  // namespace ovl
