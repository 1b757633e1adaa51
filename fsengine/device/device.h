// SPDX-License-Identifier: BSD-3-Clause
//
// The device: what the guest reads and writes. The base image comes from the
// layers, what the guest wrote lies over it in the store, and write_back
// brings upper to the tree that the guest left.
//
// Requests are safe from any number of threads at once; open, write_back and
// destruction are for one thread with no requests in flight.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/device/base_source.h"
#include "fsengine/device/checkpoint_gate.h"
#include "fsengine/device/checkpointer.h"
#include "fsengine/device/config.h"
#include "fsengine/device/places.h"
#include "fsengine/device/unsettled.h"
#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/layout_file.h"
#include "fsengine/overlay/publish_plan.h"
#include "fsengine/overlay/rebase.h"
#include "fsengine/overlay/stack.h"
#include "fsengine/overlay/upper_file.h"
#include "fsengine/store/disk.h"
#include "fsengine/store/worker.h"
#include "images/image.h"

namespace ovl {

class ExtReader;

class Device {
 public:
  /// Takes up the layout and the blocks that an earlier run kept, or scans and
  /// lays out; first finishes a write-back that was interrupted. But for that
  /// it changes nothing on disk. Errors name the parameter and the path.
  static Result<std::unique_ptr<Device>> open(DeviceConfig config, Os& os);

  uint64_t size() const { return image_->size(); }
  bool is_writable() const { return places_.has_value(); }

  /// Begins background work. REQUIRES: called once, by a process that does not
  /// fork any more.
  Status start();

  /// A client that may write has come: what an earlier run began to keep and
  /// did not is kept, in the background. Before that nothing is changed.
  void expect_writes();
  /// A client has left: what it wrote should be in upper soon.
  void note_disconnect() {
    was_disconnect_ = true;
    background_.wake();
  }

  /// REQUIRES, for all requests: the range lies in the device.
  Status read(uint64_t offset, std::span<std::byte> out);
  Status write(uint64_t offset, std::span<const std::byte> bytes,
               Durability durability = Durability::kLazy);
  Status zero(uint64_t offset, uint64_t length,
              Durability durability = Durability::kLazy);
  Status flush();

  /// A range of the device that is one or the other throughout.
  struct Extent {
    uint64_t length = 0;
    bool is_hole = false;  // reads as zeros, and nothing stands for it
  };
  /// What begins at `offset`, in at most `length` bytes. REQUIRES: length > 0.
  Extent extent_at(uint64_t offset, uint64_t length) const;

  /// A checkpoint at once: upper is brought to the state that the guest's file
  /// system is committed to. False: there is none to take yet. REQUIRES: no
  /// background work, that is, start() was not called.
  Result<bool> checkpoint_now();

  /// Brings upper to the tree on the device, and leaves layout and blocks for
  /// the next run. When the file system is not clean, or anything fails before
  /// upper is touched, upper is as it was, all is kept, and the error says so.
  /// A failure after that is made good by the next open. No request may follow.
  Status write_back();

 private:
  Device(DeviceConfig config, Os& os);

  // What an earlier run left in workdir/ovl.
  struct Kept {
    MarkState mark;
    std::optional<SavedLayout> layout;  // none: it was stopped too early
    UpperRecord upper;                  // with a layout
  };
  Status take_up();
  Result<std::optional<Kept>> find_kept();
  Result<bool> is_to_go_on(const Kept& kept);
  Status go_on(Kept kept);
  Status begin_anew();
  void take_files();
  void report_mount_points();
  Status open_image(const ImageOptions& options);
  void take_upper_files();
  Status read_changed(NodeId node, uint64_t offset, std::span<std::byte> out);
  Status find_provided();
  Status open_disk();
  Status discard_state();
  Status remove_means();
  DiskOptions disk_options() const;

  Result<Disk*> ensure_disk();
  Status create_disk();
  Status save_layout();
  void save_layout_in_background();
  void work_in_background();
  bool is_settled() const;
  bool is_checkpoint_due();
  void wait_for_upper(Position position);
  template <typename Request>
  Status with_quiet_upper(Request request);
  tl::unexpected<Error> changed_by_somebody(const Error& error);
  Status check_leftovers();
  Checkpointer& checkpointer();
  Result<bool> checkpoint(Position flushed);
  Result<bool> checkpoint_while_running();
  Result<bool> checkpoint_in_full(Position flushed);
  void note_outcome(const Result<bool>& outcome);
  void forget_trouble();
  UnsettledPlaces unsettled_places() const;
  Extent base_extent_at(uint64_t offset, uint64_t length) const;
  Extent provided_extent_at(uint64_t offset, uint64_t length) const;

  Status bring_upper_up_to_date();
  Status find_upper_now();
  Status check_only_ours();
  bool is_for_the_whole_tree(const Error& error) const;
  Result<bool> is_as_shown();
  Result<std::unique_ptr<ExtReader>> open_reader(
      const std::shared_ptr<const DiskView>& view);
  Status settle();
  Status apply_to_upper();
  Status take_back_provided();
  Status take_back(const DiskView& view, const BlockRange& range);
  Result<Rebased> rebase(const Tree& guest, ExtReader& reader);
  Result<std::unique_ptr<BlockSource>> content_of(NodeId id, ExtReader& reader);
  Status write_tree(const Rebased& rebased, ExtReader& reader,
                    const DiskView& view);
  Status publish_tree(const PublishPlan& plan, const Rebased& rebased,
                      ExtReader& reader, const DiskView& view,
                      const Fd& staging);
  Result<PublishPlan> stage(const Tree& guest, ExtReader& reader, int staging,
                            std::set<Ino>& left_out);
  Ino guest_ino(NodeId id) const;
  Status save_lost(std::span<const NodeId> lost, const ExtReader& reader,
                   const DiskView& view);
  Result<uint64_t> save_piece(BlockNo first, uint64_t most,
                              const ExtReader& reader, const DiskView& view);
  Status record_upper(const Fd& staging);
  Status record_upper();
  Status unstage(const Fd& staging);
  Status finish_write_back();
  Status finish_checkpoint(Mark& mark);
  Status end_disk();

  const DeviceConfig config_;
  Os& os_;
  const XattrFamily family_;
  const bool redirect_dir_;
  Unrepresentable unrepresentable_;
  std::optional<Places> places_;  // when writable
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<FileReader> files_;
  std::unique_ptr<Image> image_;
  std::unique_ptr<BaseSource> base_;
  // When writable: upper's files while checkpoints change them.
  std::unique_ptr<UpperFiles> upper_files_;
  std::unique_ptr<ProvidedBlocks> provided_;
  std::mutex reported_mutex_;
  std::string last_reported_;  // of what somebody else changed

  Tree upper_now() const { return {stack_->pool(), now_root_}; }

  // Upper as it is: the tree that it gives, and which of its objects have the
  // bytes of which of the layout's.
  NodeId now_root_ = kNoNode;
  NowMap now_;

  std::mutex disk_mutex_;  // creation of the disk, the first write
  Fd state_dir_;
  bool is_started_ = false;
  bool has_checkpoints_ = false;         // from open() on
  std::atomic<bool> may_write_ = false;  // a client that may has come
  bool has_leftovers_ = false;    // staging, of a run that was interrupted
  bool is_layout_saved_ = false;  // for the worker, and for when it is stopped
  std::unique_ptr<Disk> disk_owner_;
  std::atomic<Disk*> disk_ = nullptr;  // none before the first write
  std::atomic<bool> is_unsettled_ = false;
  CheckpointGate gate_;
  std::atomic<bool> was_disconnect_ = false;
  std::atomic<Position> flushed_{};  // what the guest's last FLUSH covered

  // For the background worker, and for when it is stopped.
  struct Trouble {
    std::string what;      // the error of the last checkpoint, or empty
    bool is_noted = true;  // for others, perhaps by an earlier run
    std::chrono::seconds pause{0};
    std::chrono::steady_clock::time_point again;
  };
  Trouble trouble_;
  std::optional<std::chrono::steady_clock::time_point> next_checkpoint_;
  std::unique_ptr<Checkpointer> checkpointer_;  // none before the first
  Worker background_;
};

}  // namespace ovl
