// SPDX-License-Identifier: BSD-3-Clause
//
// Write-back at the end of a run, in the simplest order that loses nothing:
//
//   store flushed -> file system clean and consistent? -> tree read, compared
//   -> everything new staged beside upper, synced
//   -> header says "publishing", synced
//   -> renames into upper, times, synced -> store dropped
//
// A failure up to "publishing" leaves upper as it was and the store whole:
// the next start takes it up, and its end tries again. From "publishing" on a
// crash may leave upper between two states; the header remembers, and the
// next start refuses rather than guess (a recorded plan that is driven to its
// end takes this place later).
#include <fcntl.h>

#include <cerrno>

#include "fsengine/device/device.h"
#include "fsengine/device/host_facts.h"
#include "fsengine/overlay/empty_directory.h"
#include "fsengine/overlay/upper_plan.h"
#include "fsengine/overlay/upper_writer.h"
#include "images/ext_reader.h"

namespace ovl {
namespace {

const char* const kStagingDir = "staging";

class DeviceView : public BlockSource {
 public:
  explicit DeviceView(Device& device) : device_(device) {}
  uint64_t size() const override { return device_.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    return device_.read(offset, out);
  }

 private:
  Device& device_;
};

Result<Fd> ensure_staging(Os& os, int state_dir) {
  auto made = os.make_dir({state_dir, kStagingDir}, 0700);
  if (!made && made.error().code() != EEXIST)
    return tl::unexpected(made.error().in(kStagingDir));
  Fd fd(::openat(state_dir, kStagingDir,
                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open())
    return last_error("staging: open");
  OVL_TRY(empty_directory(os, fd.get()).in("staging"));
  return fd;
}

}  // namespace

Status Device::write_back() {
  if (store_ == nullptr)
    return {};
  OVL_TRY(store_owner_->flush());
  auto applied = apply_to_upper();
  if (!applied)
    return fail(applied.error().code(),
                "write-back: " + applied.error().what() + "; " +
                    std::to_string(store_owner_->written().count()) +
                    " written blocks are kept in " + *config_.work + "/ovl");
  store_ = nullptr;
  const auto store = std::move(store_owner_);
  return store->drop().in("write-back: workdir: ovl");
}

Status Device::apply_to_upper() {
  const DeviceView view(*this);
  const WrittenMap& written = store_owner_->written();
  auto reader =
      OVL_TRY(ExtReader::open({view, *image_, stack_->pool(), stack_->merged(),
                               [&written](BlockNo first, uint64_t count) {
                                 return written.any(first, count);
                               }}));
  const Tree guest = OVL_TRY(reader->read_tree());
  if (guest.root == stack_->merged().root)
    return {};
  return write_tree(guest, *reader);
}

Status Device::write_tree(Tree guest, ExtReader& reader) {
  const Fd staging =
      OVL_TRY(ensure_staging(os_, state_dir_.get()).in("workdir: ovl"));
  const auto content = [&](NodeId id) -> Result<std::unique_ptr<BlockSource>> {
    const Node& node = stack_->pool()[id];
    if (node.origin == Origin::kLayer)
      return files_->content(id);
    return reader.open_file(Ino{static_cast<uint32_t>(node.host_ino)});
  };
  const UpperTarget target{.os = os_,
                           .pool = stack_->pool(),
                           .upper = places_->upper(),
                           .staging = staging.get(),
                           .family = family_,
                           .owner = config_.owner,
                           .privileged = is_privileged(),
                           .content = content};
  const UpperPlan plan = plan_upper(
      {stack_->lower(), stack_->merged(), guest, redirect_dir_, config_.owner});
  bool publishing = false;
  auto written = write_upper(target, plan, [&] {
    publishing = true;
    return store_owner_->set_phase(BlockStore::Phase::kPublishing);
  });
  // What a half-published state left in staging may be all there is of it.
  if (!written && publishing)
    return written;
  auto removed = remove_staging(staging.get());
  OVL_TRY(std::move(written));
  return removed;
}

Status Device::remove_staging(int staging) {
  OVL_TRY(empty_directory(os_, staging).in("workdir: ovl/staging"));
  return os_.remove_dir({state_dir_.get(), kStagingDir})
      .in("workdir: ovl/staging");
}

}  // namespace ovl
