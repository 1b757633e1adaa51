// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/device/absent_objects.h"
#include "fsengine/device/copies_ahead.h"
#include "fsengine/device/deletions_ahead.h"
#include "fsengine/device/freed_blocks.h"
#include "fsengine/device/handover.h"
#include "fsengine/device/live_names.h"
#include "fsengine/device/lower_parts.h"
#include "fsengine/device/shared_content.h"
#include "fsengine/device/strangers.h"
#include "fsengine/device/touched_file.h"
#include "fsengine/overlay/live_plan.h"
#include "fsengine/overlay/owner_policy.h"
#include "fsengine/overlay/publish_plan.h"
#include "fsengine/overlay/stack.h"
#include "fsengine/overlay/upper_stage.h"
#include "fsengine/overlay/xattr_family.h"
#include "fsengine/store/disk.h"
#include "images/decode/base_state.h"
#include "images/decode/decoder.h"
#include "images/decode/kept_catalog.h"
#include "images/image.h"

namespace ovl {

/// Brings upper to the guest's last committed state while the guest goes on.
/// The essay is in the .cc. For one thread at a time; the requests that the
/// disk serves meanwhile are any thread's.
class Checkpointer {
 public:
  struct Context {
    Os& os;
    int upper;
    int state_dir;  // workdir/ovl
    XattrFamily family;
    bool redirect_dir;
    OwnerPolicy owner;
    Unrepresentable& unrepresentable;
    const Stack& stack;
    const Image& image;
    Disk& disk;
    FileReader& layers;
    UpperFiles& files;
    ProvidedBlocks& provided;
    CopyRules copies;
    Tree now;  // upper over the lowers, as the device found it
    std::function<Status()> record_upper;  // anew, as it is
    std::function<void(const std::string& line)> report;
  };
  /// All that the context refers to outlives it.
  explicit Checkpointer(Context context);

  /// Can this be done for a layout? Where permissions that the guest gives may
  /// bar us not when upper had objects then: they stand for blocks that the
  /// guest sees.
  static bool is_possible(const Stack& stack, const Unrepresentable& limits);

  /// Finds out what upper provides, which readers need from now on. Changes
  /// nothing on disk; run() does it otherwise.
  Status start();

  /// A checkpoint of what the device is now; `flushed` is the last position
  /// that a FLUSH of the guest covered. False: its file system is in no state
  /// to take yet, or is_copying(). After an error upper is as it was, or
  /// is_publishing(); where it has no room for what is new, what the guest
  /// deleted may have left it. Nothing of what the guest wrote is lost, and the
  /// next call tries again.
  Result<bool> run(Position flushed);

  /// The last run() was for a part of a large copy that is made ahead; more of
  /// them lead to a checkpoint. They may be as far apart as one likes.
  bool is_copying() const { return is_copying_; }

  /// No request comes any more, and what run() copies may take the host's last
  /// space.
  void expect_no_requests() { copies_.spare_nothing(); }

  /// Upper may be half changed, which the next run() ends, or the next open.
  bool is_publishing() const { return pending_.has_value(); }

  /// Upper shows what the device is, and the guest has unmounted it cleanly.
  /// REQUIRES: no request came since run() returned without an error.
  bool is_settled() const { return is_clean_; }

  /// What the guest has freed leaves log and store. REQUIRES: is_settled(), and
  /// no client may come any more.
  Status give_back_freed();

  /// Upper shows what the device is already, by other means: from now on, and
  /// for the next start, that is what checkpoints go on from. REQUIRES: run()
  /// is not called after it.
  Status adopt();

 private:
  // What upper must become, in nodes of a pool of its own.
  struct Planned {
    Changes changes;
    std::unique_ptr<NodePool> pool;
    LivePlan plan;
  };
  struct Decoded {
    const DiskView& view;
    Planned planned;
    CatalogDelta delta;
    CatalogPoint point;
    bool is_whole = true;  // false: more of the view is to come
  };
  // What is decided, and perhaps done in part.
  struct Pending {
    PublishPlan steps;
    Changes changes;
    std::vector<LivePlan::Placed> placed;
    std::set<Ino> left_out;  // of what is new
    MarkState mark;
    bool is_whole = true;  // as of Decoded
  };

  Result<bool> take(Position flushed);
  Result<bool> make_room(Position flushed);
  Result<bool> delete_ahead(const DiskView& view, const Changes& changes);
  Status prepare();
  bool is_in_place();
  Result<bool> is_lacking(const Planned& planned, const DiskView& view);
  Status find_standings();
  Status take_upper_object(const ObjectId& id, const Node& node);
  Status start_decoder(const MarkState& mark);
  void note_written(const DiskView& view);
  Result<std::optional<Planned>> decode(const DiskView& view, Position flushed);
  Result<Planned> plan(Changes changes) const;
  Status apply(Decoded decoded);
  void empty_staging();
  Result<Pending> decide(Decoded decoded);
  Status stage(Planned planned, int staging, Pending& pending);
  Status keep_catalog(const CatalogDelta& delta, const CatalogPoint& point,
                      MarkState& mark);
  Status begin_publishing(const Pending& pending);
  Result<Changes> publish_pending();
  Result<Fd> open_elsewhere(const ObjectId& id, uint64_t ino);
  Status tell_where_files_go();
  Status publish_steps();
  Status finish_pending();
  Status keep_absent(const std::set<Ino>& left_out, const Changes& changes);
  void place(LivePlan plan, const UpperStage& stage, Pending& pending) const;
  Status set_mark(const MarkState& mark, Phase phase);

  const Context context_;
  const BaseState base_;
  std::unique_ptr<Decoder> decoder_;
  bool must_note_all_ = true;  // the decoder knows of no write
  LiveNames names_;
  Strangers strangers_;
  bool has_standings_ = false;  // names_ know where their objects stand
  KeptFiles kept_;
  Handover handover_;
  LowerParts parts_;
  SharedContent shared_;
  FreedBlocks freed_;
  CopiesAhead copies_;
  KeptCatalog catalog_;
  TouchedFile touched_;
  AbsentObjects absent_;
  std::optional<Pending> pending_;
  // What was in no state to take, and whether a FLUSH covered it.
  std::optional<std::pair<Position, bool>> refused_;
  Position deleted_until_{};  // all that can go ahead of the rest has gone
  bool is_copying_ = false;
  bool is_clean_ = false;
  bool is_mark_unsure_ = false;  // on disk it may tell of more than here
  Position applied_{};
};

}  // namespace ovl
