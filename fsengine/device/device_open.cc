// SPDX-License-Identifier: BSD-3-Clause
//
// What a device begins with. Once a guest wrote, inode numbers and places must
// stay, for it may still be there: the trees that the layout was made from are
// kept, and a start takes them up without a scan of the lowers. Upper is looked
// at in any case, for its files may stand elsewhere since:
//
//   nothing kept              scan all, lay out
//   kept, upper as recorded   restore the trees, lay out, scan upper
//   kept, upper changed       settled: nothing would be lost: begin anew
//                             not settled: refuse, with the path
//   only the hash was kept    scan all, lay out, compare hashes
//
#include <cerrno>

#include "fsengine/device/absent_objects.h"
#include "fsengine/device/device.h"
#include "fsengine/device/host_facts.h"
#include "fsengine/device/layout_parameters.h"
#include "fsengine/device/staging.h"

namespace ovl {
namespace {

constexpr uint64_t kDefaultFreeSpace = uint64_t{8} << 30;

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

XattrFamily family_of(const DeviceConfig& config) {
  if (!config.userxattr)
    return default_family();
  return *config.userxattr ? XattrFamily::kUser : XattrFamily::kTrusted;
}

const char* word_for(UpperDifference::Kind kind) {
  switch (kind) {
    case UpperDifference::Kind::kAdded:
      return "added";
    case UpperDifference::Kind::kRemoved:
      return "removed";
    case UpperDifference::Kind::kChanged:
      return "changed";
  }
  return "";
}

}  // namespace

Device::Device(DeviceConfig config, Os& os)
    : config_(std::move(config)),
      os_(os),
      family_(family_of(config_)),
      redirect_dir_(family_ == XattrFamily::kTrusted &&
                    config_.redirect_dir.value_or(kernel_follows_redirects())),
      unrepresentable_(config_.unrepresentable, is_privileged(), family_,
                       config_.report),
      background_([this] { work_in_background(); },
                  config_.work ? config_.checkpoint : std::nullopt) {}

Result<std::unique_ptr<Device>> Device::open(DeviceConfig config, Os& os) {
  OVL_TRY(check_layers(config));
  raise_descriptor_limit();
  std::unique_ptr<Device> device(new Device(std::move(config), os));
  if (device->config_.work)
    device->places_ = OVL_TRY(Places::open(device->config_));
  OVL_TRY(device->take_up());
  OVL_TRY(device->find_provided());
  device->has_checkpoints_ =
      device->places_ && device->config_.checkpoint &&
      Checkpointer::is_possible(*device->stack_, device->unrepresentable_);
  if (device->places_ && device->config_.sync_checkpoints &&
      !device->has_checkpoints_)
    device->config_.report(
        "checkpoint=sync: upperdir was not empty when the device was laid out, "
        "this is not root, and nothing is left out of it: changes reach it at "
        "the end only");
  return device;
}

Status Device::take_up() {
  if (!places_)
    return begin_anew();
  OVL_TRY(finish_write_back());
  auto kept = OVL_TRY(find_kept().in("workdir: " + *config_.work + "/ovl"));
  if (!kept)
    return begin_anew();
  if (OVL_TRY(is_to_go_on(*kept)))
    return go_on(std::move(*kept));
  OVL_TRY(discard_state());
  return begin_anew();
}

Result<std::optional<Device::Kept>> Device::find_kept() {
  if (!state_dir_.is_open())
    return std::nullopt;
  auto mark = Mark::open(os_, state_dir_.get());
  if (!mark && mark.error().code() == ENOENT)
    return std::nullopt;
  if (!mark)
    return tl::unexpected(mark.error());
  Kept kept{(*mark)->state(), std::nullopt, {}};
  auto layout = read_layout(state_dir_.get());
  if (!layout && layout.error().code() == ENOENT)
    return kept;
  if (!layout)
    return tl::unexpected(layout.error());
  kept.upper =
      OVL_TRY(read_upper(state_dir_.get(), layout->stack.trees.pool.size()));
  kept.layout = std::move(*layout);
  return kept;
}

Result<bool> Device::is_to_go_on(const Kept& kept) {
  const bool settled = kept.mark.phase == Phase::kSettled;
  AbsentObjects absent(os_, state_dir_.get());
  OVL_TRY(absent.read());
  if (config_.relayout && settled && !absent.empty())
    config_.report(
        "relayout: objects that upperdir cannot have are given up: " +
        std::to_string(absent.size()));
  if (config_.relayout && settled)
    return false;
  if (config_.relayout)
    return fail(EBUSY,
                "relayout: the device has changes that are not in upperdir "
                "yet: start without it, and let the client unmount");
  if (!kept.layout)
    return true;
  auto same = check_wanted(
      *kept.layout, {config_.lowers, config_.data_only, config_.upper, family_},
      layout_parameters(image_options(config_, is_writable()), family_));
  if (!same)
    return fail(same.error().code(),
                same.error().what() + " in workdir: " + *config_.work + "/ovl" +
                    (settled ? "; relayout=yes gives it up" : ""));
  const UpperRecord now = OVL_TRY(collect_upper(places_->upper()));
  const Touched touched = OVL_TRY(TouchedFile::read(state_dir_.get()));
  const auto difference =
      find_difference(kept.upper, now, touched,
                      has_staging(state_dir_.get()) ? ChangeTimes::kIgnored
                                                    : ChangeTimes::kCount);
  if (!difference)
    return true;
  const std::string& path =
      difference->path.empty() ? *config_.upper : difference->path;
  const std::string what = "upperdir: " + path + ": " +
                           word_for(difference->kind) + " by somebody else";
  if (!settled)
    return fail(ESTALE, what +
                            " while the device has changes that are not in "
                            "upperdir yet: to go on, undo that");
  if (!absent.empty())
    return fail(ESTALE, what +
                            " since the last run, and the device has objects "
                            "that upperdir cannot have: to go on, undo that; "
                            "relayout=yes gives them up");
  config_.report(what + " since the last run: the device is laid out anew");
  return false;
}

Status Device::begin_anew() {
  stack_ = OVL_TRY(
      Stack::open({config_.lowers, config_.data_only, config_.upper, family_}));
  report_mount_points();
  now_root_ = stack_->merged().root;
  for (const NodeId id : upper_objects(stack_->merged()))
    now_[id] = id;
  take_files();
  OVL_TRY(open_image(image_options(config_, is_writable())));
  if (places_)
    OVL_TRY(open_disk());
  return {};
}

Status Device::go_on(Kept kept) {
  if (!kept.layout)
    return begin_anew();
  const LayoutRecord record = kept.layout->record;
  stack_ = OVL_TRY(Stack::restore(std::move(kept.layout->stack)));
  now_root_ = OVL_TRY(stack_->merge_upper_now(family_)).root;
  std::unordered_map<uint64_t, NodeId> by_ino;
  for (const NodeId id : upper_objects(upper_now()))
    by_ino[stack_->pool()[id].host_ino] = id;
  for (const UpperObject& object : kept.upper.objects)
    if (const auto at = by_ino.find(object.ino);
        object.base != kNoNode && at != by_ino.end())
      now_[object.base] = at->second;
  take_files();
  files_->provide(now_);
  OVL_TRY(open_image(image_options(config_, is_writable())));
  if (image_->size() != record.device_bytes ||
      image_->fingerprint() != record.fingerprint)
    return fail(EPROTO,
                "workdir: ovl/layout: laid out in another way by this version");
  is_layout_saved_ = true;
  has_leftovers_ = has_staging(state_dir_.get());
  return open_disk();
}

void Device::report_mount_points() {
  for (const std::string& path : stack_->mount_points())
    config_.report(path +
                   ": a mount point: shown empty, for what is under "
                   "it can be seen by root only");
}

void Device::take_files() {
  files_ = std::make_unique<FileReader>(*stack_, config_.report);
}

Status Device::open_image(const ImageOptions& options) {
  image_ = OVL_TRY(Image::build(stack_->lower(), stack_->merged(), options));
  base_ = std::make_unique<BaseSource>(*image_, *files_);
  if (places_)
    take_upper_files();
  return {};
}

void Device::take_upper_files() {
  upper_files_ = std::make_unique<UpperFiles>(places_->upper());
  provided_ = std::make_unique<ProvidedBlocks>(image_->size(), *upper_files_);
  files_->expect_changes_of_upper();
  base_->read_changed_by(
      [this](NodeId node, uint64_t offset, std::span<std::byte> out) {
        return read_changed(node, offset, out);
      });
}

// A file of upper's, known by what the base image calls it.
Status Device::read_changed(NodeId node, uint64_t offset,
                            std::span<std::byte> out) {
  const Ino ino = image_->ino_of(node);
  const ExtInode inode(image_->inode_bytes(ino));
  const ObjectId id{ino, generation_of(inode),
                    static_cast<uint16_t>(inode.mode() & S_IFMT)};
  return upper_files_->read_unchanged(id, offset, out);
}

// Readers need it at once.
Status Device::find_provided() {
  if (disk_owner_ == nullptr)
    return {};
  const StoreMap& provided = disk_owner_->store().provided();
  const uint64_t blocks = blocks_for(size());
  if (!provided.test(BlockNo{0}) &&
      provided.run_length(BlockNo{0}, blocks) == blocks)
    return {};
  return checkpointer().start();
}

DiskOptions Device::disk_options() const {
  DiskOptions options = config_.disk;
  options.report = config_.report;
  options.provider = provided_.get();
  return options;
}

Status Device::open_disk() {
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

// The record first: who finds the layout finds it, too.
Status Device::save_layout() {
  if (is_layout_saved_)
    return {};
  UpperRecord upper = OVL_TRY(collect_upper(places_->upper()));
  std::unordered_map<uint64_t, NodeId> base_of;
  for (const auto& [base, now] : now_)
    base_of[stack_->pool()[now].host_ino] = base;
  for (UpperObject& object : upper.objects)
    if (const auto at = base_of.find(object.ino); at != base_of.end())
      object.base = at->second;
  OVL_TRY(write_upper(os_, state_dir_.get(), upper));
  OVL_TRY(write_layout(
      os_, state_dir_.get(),
      {layout_parameters(image_options(config_, is_writable()), family_),
       image_->size(), image_->fingerprint()},
      *stack_));
  is_layout_saved_ = true;
  return {};
}

void Device::save_layout_in_background() {
  if (!disk_ || is_layout_saved_)
    return;
  if (const auto saved = save_layout(); !saved)
    config_.report("workdir: ovl: the layout is not kept yet: " +
                   saved.error().what());
}

// The mark first: without it the rest means nothing.
Status Device::discard_state() {
  if (!state_dir_.is_open())
    return {};
  const int state = state_dir_.get();
  OVL_TRY(Disk::remove(os_, state).in("workdir: ovl"));
  OVL_TRY(remove_layout(os_, state).in("workdir: ovl"));
  OVL_TRY(remove_upper(os_, state).in("workdir: ovl"));
  OVL_TRY(KeptCatalog::remove_all(os_, state).in("workdir: ovl"));
  OVL_TRY(AbsentObjects::remove(os_, state));
  forget_trouble();
  OVL_TRY(remove_means());
  return clear_unsettled(os_, unsettled_places());
}

}  // namespace ovl
