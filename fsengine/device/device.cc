// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/device.h"

#include <algorithm>
#include <cerrno>

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
  raise_descriptor_limit();
  std::unique_ptr<Device> device(new Device(std::move(config), os));
  if (device->config_.work)
    device->places_ = OVL_TRY(Places::open(device->config_));
  if (device->places_)
    OVL_TRY(device->finish_write_back());
  OVL_TRY(device->open_stack());
  OVL_TRY(device->open_image());
  if (device->places_)
    OVL_TRY(device->open_disk());
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
  for (const std::string& path : stack_->mount_points())
    config_.report(path +
                   ": a mount point: shown empty, for what is under "
                   "it can be seen by root only");
  files_ = std::make_unique<FileReader>(*stack_, config_.report);
  return {};
}

Status Device::open_image() {
  image_ = OVL_TRY(Image::build(stack_->lower(), stack_->merged(),
                                image_options(config_, is_writable())));
  base_ = std::make_unique<BaseSource>(*image_, *files_);
  return {};
}

DiskOptions Device::disk_options() const {
  DiskOptions options = config_.disk;
  options.report = config_.report;
  return options;
}

Status Device::open_disk() {
  state_dir_ = OVL_TRY(places_->state_dir());
  if (!state_dir_.is_open())
    return {};
  auto disk = Disk::open(os_, state_dir_.get(), *base_, image_->fingerprint(),
                         disk_options());
  if (!disk && disk.error().code() == ENOENT)
    return {};
  if (!disk)
    return tl::unexpected(disk.error().in(
        "workdir: " + *config_.work + "/ovl: cannot go on from what is kept"));
  disk_owner_ = std::move(*disk);
  disk_ = disk_owner_.get();
  return {};
}

Result<Disk*> Device::ensure_disk() {
  if (Disk* disk = disk_)
    return disk;
  const std::lock_guard lock(disk_mutex_);
  if (Disk* disk = disk_)
    return disk;
  state_dir_ = OVL_TRY(places_->ensure_state_dir(os_));
  disk_owner_ = OVL_TRY(Disk::create(os_, state_dir_.get(), *base_,
                                     image_->fingerprint(), disk_options())
                            .in("workdir: ovl"));
  if (is_started_)
    disk_owner_->start_folding();
  disk_ = disk_owner_.get();
  return disk_owner_.get();
}

void Device::start() {
  const std::lock_guard lock(disk_mutex_);
  is_started_ = true;
  if (disk_owner_)
    disk_owner_->start_folding();
}

Status Device::read(uint64_t offset, std::span<std::byte> out) {
  const Disk* disk = disk_;
  return disk == nullptr ? base_->read(offset, out) : disk->read(offset, out);
}

Device::Extent Device::extent_at(uint64_t offset, uint64_t length) const {
  const Disk* disk = disk_;
  if (disk == nullptr)
    return base_extent_at(offset, length);
  const uint64_t into = offset % kBlockSize;
  const DiskView::Piece piece = disk->view()->piece_at(
      BlockNo{offset / kBlockSize}, blocks_for(into + length));
  length = std::min(length, piece.count * kBlockSize - into);
  if (piece.where == DiskView::Where::kBase)
    return base_extent_at(offset, length);
  return {length, piece.where == DiskView::Where::kZeros};
}

Device::Extent Device::base_extent_at(uint64_t offset, uint64_t length) const {
  const Segment segment = image_->resolve(offset, length);
  return {segment.length, segment.kind == Segment::Kind::kZero};
}

Status Device::write(uint64_t offset, std::span<const std::byte> bytes,
                     Durability durability) {
  Disk* disk = OVL_TRY(ensure_disk());
  return disk->write(offset, bytes, durability);
}

Status Device::zero(uint64_t offset, uint64_t length, Durability durability) {
  Disk* disk = OVL_TRY(ensure_disk());
  return disk->zero(offset, length, durability);
}

Status Device::flush() {
  Disk* disk = disk_;
  return disk == nullptr ? Status() : disk->flush();
}

}  // namespace ovl
