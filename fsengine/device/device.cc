// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/device.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace ovl {

UnsettledPlaces Device::unsettled_places() const {
  return {places_->upper(), places_->work(), family_};
}

// The marker stands, and the mark says so, before a write is acknowledged. It
// does when a checkpoint of what an earlier run left is publishing: then the
// plan has to stay in force.
Result<Disk*> Device::ensure_disk() {
  if (is_unsettled_)
    return disk_owner_.get();
  const std::lock_guard lock(disk_mutex_);
  if (is_unsettled_)
    return disk_owner_.get();
  may_write_ = true;
  if (!disk_owner_)
    state_dir_ = OVL_TRY(places_->ensure_state_dir(os_));
  OVL_TRY(set_unsettled(os_, unsettled_places()));
  if (!disk_owner_)
    OVL_TRY(create_disk());
  OVL_TRY(disk_owner_
              ->change_mark([](MarkState& mark) {
                if (mark.phase == Phase::kSettled)
                  mark.phase = Phase::kWriting;
              })
              .in("workdir: ovl"));
  is_unsettled_ = true;
  return disk_owner_.get();
}

// The layout itself follows in the background: until it is there, its hash in
// the mark tells whether a new scan gives the same.
Status Device::create_disk() {
  disk_owner_ = OVL_TRY(Disk::create(os_, state_dir_.get(), *base_,
                                     image_->fingerprint(), disk_options())
                            .in("workdir: ovl"));
  if (is_started_)
    disk_owner_->start_folding();
  Places::tell_server(state_dir_.get());
  disk_ = disk_owner_.get();
  background_.wake();
  return {};
}

Status Device::start() {
  const std::lock_guard lock(disk_mutex_);
  is_started_ = true;
  if (places_)
    OVL_TRY(places_->own_lock());
  if (state_dir_.is_open())
    Places::tell_server(state_dir_.get());
  background_.start();
  if (!disk_owner_)
    return {};
  disk_owner_->start_folding();
  return {};
}

void Device::expect_writes() {
  const std::lock_guard lock(disk_mutex_);
  may_write_ = true;
  if (disk_owner_)
    background_.wake();
}

// A checkpoint may have changed the file that is read: then what is read is
// looked up again.
template <typename Request>
Status Device::with_quiet_upper(Request request) {
  constexpr int kMostTries = 10;
  for (int tries = 1;; ++tries) {
    auto done = request();
    if (done || done.error().code() != ESTALE || upper_files_ == nullptr)
      return done;
    if (tries == kMostTries)
      return changed_by_somebody(done.error());
    upper_files_->wait_until_quiet();
  }
}

tl::unexpected<Error> Device::changed_by_somebody(const Error& error) {
  const Error said(EIO, error.what());
  const std::lock_guard lock(reported_mutex_);
  if (std::exchange(last_reported_, said.what()) != said.what())
    config_.report(said.what());
  return tl::unexpected(said.as_reported());
}

Status Device::read(uint64_t offset, std::span<std::byte> out) {
  return with_quiet_upper([&]() -> Status {
    const Disk* disk = disk_;
    return disk == nullptr ? base_->read(offset, out) : disk->read(offset, out);
  });
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
  if (piece.where == DiskView::Where::kProvided)
    return provided_extent_at(offset, length);
  return {length, piece.where == DiskView::Where::kZeros};
}

Device::Extent Device::provided_extent_at(uint64_t offset,
                                          uint64_t length) const {
  const uint64_t into = offset % kBlockSize;
  const auto piece =
      provided_->piece_at(offset / kBlockSize, blocks_for(into + length));
  return {std::min(length, piece.count * kBlockSize - into),
          piece.file == kNoNode};
}

Device::Extent Device::base_extent_at(uint64_t offset, uint64_t length) const {
  const Segment segment = image_->resolve(offset, length);
  return {segment.length, segment.kind == Segment::Kind::kZero};
}

Status Device::write(uint64_t offset, std::span<const std::byte> bytes,
                     Durability durability) {
  Disk* disk = OVL_TRY(ensure_disk());
  OVL_TRY(
      with_quiet_upper([&] { return disk->write(offset, bytes, durability); }));
  if (durability == Durability::kDurable)
    wait_for_upper(disk->last());
  return {};
}

Status Device::zero(uint64_t offset, uint64_t length, Durability durability) {
  Disk* disk = OVL_TRY(ensure_disk());
  OVL_TRY(
      with_quiet_upper([&] { return disk->zero(offset, length, durability); }));
  if (durability == Durability::kDurable)
    wait_for_upper(disk->last());
  return {};
}

Status Device::flush() {
  Disk* disk = disk_;
  if (disk == nullptr)
    return {};
  const Position covered = disk->last();
  OVL_TRY(disk->flush());
  for (Position known = flushed_;
       known < covered && !flushed_.compare_exchange_weak(known, covered);) {
  }
  wait_for_upper(covered);
  return {};
}

}  // namespace ovl
