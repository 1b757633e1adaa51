// SPDX-License-Identifier: BSD-3-Clause
//
// A checkpoint: from the blocks that a guest wrote to an upper that shows its
// last committed state, in the order that loses nothing:
//
//   device sealed, log synced -> committed state decoded -> everything new
//   staged beside upper, synced -> catalog appended, synced -> what will be
//   touched and the plan written, synced -> mark says "checkpointing" and tells
//   of the new catalog -> renames into upper, times, synced -> mark says
//   "writing"
//
// The mark is the one switch. Before it tells of the new catalog, upper is as
// the old one says, and what was staged is thrown away. Afterwards the plan is
// driven to its end, by the next attempt or by the next start, before anything
// is decoded again: no plan is made over a half published one.
//
// Large copies are made before all that: copies_ahead.cc.
//
// Afterwards upper provides what it has of the guest's blocks, and log and
// store need not: handover.cc. A reader never sees what a checkpoint does to
// upper.
//
// What upper has no room for does not hold up what the guest deleted:
// deletions_ahead.cc.
//
// A failure before the switch throws the decoder's progress away with the
// stage: the catalog is read again as the mark tells, and all blocks that are
// not the base's are looked at anew, which is slower and always right.
#include "fsengine/device/checkpointer.h"

#include <cerrno>
#include <utility>

#include "fsengine/device/host_facts.h"
#include "fsengine/device/note_written.h"
#include "fsengine/device/staging.h"
#include "fsengine/overlay/empty_directory.h"

namespace ovl {
namespace {

constexpr uint64_t kMostTouchedBytes = 8 << 20;

KeptCatalog::Place place_in(const MarkState& mark) {
  return {mark.catalog, {to_int(mark.applied), mark.applied_transaction}};
}

}  // namespace

Checkpointer::Checkpointer(Context context)
    : context_(std::move(context)),
      base_(context_.image),
      names_(context_.stack, base_, context_.upper),
      kept_(context_.os, context_.state_dir),
      handover_({context_.stack, base_, context_.disk, context_.upper,
                 context_.files, kept_, context_.provided, context_.report}),
      parts_(context_.stack, context_.image),
      shared_(context_.os, parts_, context_.layers),
      freed_(context_.image, context_.disk, context_.provided),
      copies_({context_.os, context_.state_dir, context_.stack, context_.image,
               context_.layers, parts_, context_.copies, context_.report}),
      catalog_(context_.os, context_.state_dir),
      touched_(context_.os, context_.state_dir),
      absent_(context_.os, context_.state_dir) {
  context_.files.find_by([this](const ObjectId& id) { return names_.path(id); },
                         [this](const ObjectId& id, uint64_t ino) {
                           return open_elsewhere(id, ino);
                         });
}

// The kept ones have names of their own until all is done.
Result<Fd> Checkpointer::open_elsewhere(const ObjectId& id, uint64_t ino) {
  auto kept = kept_.open(id.ino, ino);
  if (kept || kept.error().code() != ESTALE)
    return kept;
  return names_.open(id, ino);
}

bool Checkpointer::is_possible(const Stack& stack,
                               const Unrepresentable& limits) {
  if (limits.keeps_access())
    return true;
  const Tree merged = stack.merged();
  for (const Entry& entry : merged.pool.entries(merged.root))
    if (stack.is_upper(merged.pool[entry.node]))
      return false;
  return true;
}

Result<bool> Checkpointer::run(Position flushed) {
  auto done = take(flushed);
  if (done || pending_ || !is_lack_of_room(done.error()))
    return done;
  auto has_room = make_room(flushed);
  if (!has_room && (pending_ || !is_lack_of_room(has_room.error())))
    return has_room;
  return has_room && *has_room ? take(flushed) : std::move(done);
}

Result<bool> Checkpointer::take(Position flushed) {
  is_copying_ = false;
  OVL_TRY(prepare());
  const Position last = context_.disk.last();
  if (refused_ == std::pair(last, flushed >= last))
    return false;  // nothing came since
  if (flushed < last && is_in_place())
    return false;
  std::shared_ptr<const DiskView> view = OVL_TRY(context_.disk.seal());
  note_written(*view);
  const auto mode = read_mode(*view, context_.image.uuid());
  is_clean_ = mode && *mode == FsMode::kClean;
  if (view->last() == applied_) {
    OVL_TRY(strangers_.check({}, names_.tree()));
    OVL_TRY(copies_.remove_all());
    return true;
  }
  auto planned = OVL_TRY(decode(*view, flushed));
  if (!planned)
    return false;
  if (OVL_TRY(is_lacking(*planned, *view))) {
    view.reset();  // the log may be folded meanwhile
    is_copying_ = true;
    OVL_TRY(copies_.copy_slice());
    return false;
  }
  CatalogDelta delta = decoder_->accept();
  const Status done =
      apply({*view,
             std::move(*planned),
             std::move(delta),
             {to_int(view->last()), decoder_->last_transaction()}});
  if (!done && !pending_)
    decoder_.reset();
  OVL_TRY(Status(done));
  OVL_TRY(freed_.give_back(*view, *decoder_).in("workdir: ovl"));
  return true;
}

// False: nothing can go, or nothing more.
Result<bool> Checkpointer::make_room(Position flushed) {
  OVL_TRY(prepare());
  if (deleted_until_ == context_.disk.last())
    return false;
  const std::shared_ptr<const DiskView> view = OVL_TRY(context_.disk.seal());
  note_written(*view);
  const auto planned = OVL_TRY(decode(*view, flushed));
  if (!planned)
    return false;
  auto done = delete_ahead(*view, planned->changes);
  if (!pending_ && !(done && *done))
    decoder_.reset();
  if (done)
    deleted_until_ = view->last();
  return done;
}

Result<bool> Checkpointer::delete_ahead(const DiskView& view,
                                        const Changes& changes) {
  const CatalogDelta delta = decoder_->accept();
  const MarkState mark = context_.disk.mark();
  Catalog before(base_);
  OVL_TRY(catalog_.read(place_in(mark), before).in("workdir: ovl"));
  DeletionsAhead ahead = OVL_TRY(
      find_deletions(std::move(before), LiveDelta(names_.tree(), changes),
                     delta, *decoder_, view));
  const Position position{to_int(view.last()) - 1};
  if (ahead.empty() || position <= applied_)
    return false;
  decoder_ = std::make_unique<Decoder>(std::move(ahead.catalog));
  must_note_all_ = true;
  Planned planned = OVL_TRY(plan(std::move(ahead.changes)));
  OVL_TRY(apply({view,
                 std::move(planned),
                 std::move(ahead.delta),
                 {to_int(position), mark.applied_transaction},
                 false}));
  context_.report(
      "upperdir has no room for all that is new; what was deleted has left it");
  return true;
}

// Does the guest write without a journal? While it does nothing can be taken,
// and sealing the device for that would be syncs and folds for nothing.
bool Checkpointer::is_in_place() {
  is_clean_ = false;
  const auto mode = read_mode(*context_.disk.view(), context_.image.uuid());
  return mode && *mode != FsMode::kJournal;
}

Status Checkpointer::give_back_freed() {
  const std::shared_ptr<const DiskView> view = OVL_TRY(context_.disk.seal());
  return freed_.give_back_all(*view, decoder_->catalog());
}

// Nothing: no state to take. What is taken is on disk: upper must not be ahead
// of the log.
Result<std::optional<Checkpointer::Planned>> Checkpointer::decode(
    const DiskView& view, Position flushed) {
  OVL_TRY(context_.disk.flush());
  const bool is_still = flushed >= view.last();
  auto changes = decoder_->decode(
      view, is_still ? Decoder::Stillness::kStill : Decoder::Stillness::kBusy);
  if (!changes && changes.error().code() == EBUSY) {
    refused_ = std::pair(view.last(), is_still);
    return std::nullopt;
  }
  if (!changes)
    return tl::unexpected(changes.error());
  OVL_TRY(strangers_.check(*changes, names_.tree()));
  return OVL_TRY(plan(std::move(*changes)));
}

Status Checkpointer::start() {
  if (!decoder_)
    OVL_TRY(start_decoder(context_.disk.mark()));
  if (names_.is_started())
    return {};
  OVL_TRY(names_.start(decoder_->catalog()).in("workdir: ovl"));
  return handover_.start(decoder_->catalog(), names_.tree(), context_.now);
}

Status Checkpointer::prepare() {
  if (pending_)
    OVL_TRY(publish_pending());
  const MarkState mark = context_.disk.mark();
  if (is_mark_unsure_)
    OVL_TRY(set_mark(mark, mark.phase));
  is_mark_unsure_ = false;
  OVL_TRY(start());
  OVL_TRY(copies_.begin());
  return has_standings_ ? Status() : find_standings();
}

Status Checkpointer::find_standings() {
  OVL_TRY(absent_.read());
  OVL_TRY(names_.find_standings(
      context_.now,
      [this](const ObjectId& id, const Node& node) {
        return take_upper_object(id, node);
      },
      [this](const ObjectId& id) { return absent_.contains(id.ino); }));
  has_standings_ = true;
  return {};
}

// A path that checkpoints touched is not compared with upper's record.
Status Checkpointer::take_upper_object(const ObjectId& id, const Node& node) {
  if (!node.is_regular())
    return {};
  const CatalogInode inode = OVL_TRY(decoder_->catalog().inode(id.ino));
  const bool is_stranger =
      strangers_.add_if(id, {node.size, node.mtime_sec, node.mtime_nsec},
                        {inode.size, inode.mtime_sec, inode.mtime_nsec});
  if (!is_stranger)
    handover_.know(id, node);
  return {};
}

// An upper that was brought up to date by other means has no catalog.
Status Checkpointer::start_decoder(const MarkState& mark) {
  if (mark.catalog == 0 && mark.applied != Position{})
    return fail(ENOTSUP, "the state that upperdir is in was not kept");
  Catalog catalog(base_);
  OVL_TRY(catalog_.read(place_in(mark), catalog).in("workdir: ovl"));
  decoder_ = std::make_unique<Decoder>(std::move(catalog));
  must_note_all_ = true;
  applied_ = mark.applied;
  return {};
}

void Checkpointer::note_written(const DiskView& view) {
  auto ranges = context_.disk.take_written(view);
  if (must_note_all_)
    ranges.reset();
  freed_.note_written(ranges);
  if (!ranges)
    note_all_written(view, *decoder_, BeginsAt::kMark);
  else
    for (const Disk::Range& range : *ranges)
      decoder_->note_written(range.first, range.count);
  must_note_all_ = false;
}

// Nothing is accepted yet: an error here costs no progress.
Result<Checkpointer::Planned> Checkpointer::plan(Changes changes) const {
  auto pool = std::make_unique<NodePool>();
  LivePlan plan = OVL_TRY(plan_live(LiveDelta(names_.tree(), changes),
                                    {context_.redirect_dir, context_.family},
                                    context_.stack.layer(0), *pool));
  return Planned{std::move(changes), std::move(pool), std::move(plan)};
}

Result<bool> Checkpointer::is_lacking(const Planned& planned,
                                      const DiskView& view) {
  parts_.begin(*decoder_, view);
  return copies_.find_lacking(planned.plan, *planned.pool, planned.changes);
}

Status Checkpointer::apply(Decoded decoded) {
  const DiskView& view = decoded.view;
  auto pending = decide(std::move(decoded));
  if (!pending && !is_mark_unsure_)
    empty_staging();
  pending_ = OVL_TRY(std::move(pending));
  const Changes changes = OVL_TRY(publish_pending());
  if (!context_.unrepresentable.keeps_access())
    return {};
  return handover_.hand_over(changes, names_.tree(), *decoder_, view);
}

// What it takes may be what the host's disk lacks.
void Checkpointer::empty_staging() {
  if (const auto staging = open_staging(context_.os, context_.state_dir))
    (void)empty_directory(context_.os, staging->get());
}

Result<Checkpointer::Pending> Checkpointer::decide(Decoded decoded) {
  const Fd staging = OVL_TRY(open_staging(context_.os, context_.state_dir));
  OVL_TRY(
      empty_directory(context_.os, staging.get()).in("workdir: ovl/staging"));
  Pending pending;
  pending.is_whole = decoded.is_whole;
  pending.changes = std::move(decoded.planned.changes);
  parts_.begin(*decoder_, decoded.view);
  OVL_TRY(stage(std::move(decoded.planned), staging.get(), pending));
  OVL_TRY(
      handover_.prepare(pending.changes, names_.tree(), *decoder_, decoded.view)
          .in("workdir: ovl"));
  OVL_TRY(keep_catalog(decoded.delta, decoded.point, pending.mark)
              .in("workdir: ovl"));
  OVL_TRY(absent_.add(pending.left_out));
  if (!pending.steps.empty())
    OVL_TRY(begin_publishing(pending));
  return pending;
}

Status Checkpointer::stage(Planned planned, int staging, Pending& pending) {
  const NodePool& pool = *planned.pool;
  const auto ino_of = [&pool](NodeId id) {
    return Ino{static_cast<uint32_t>(pool[id].host_ino)};
  };
  const UpperTarget target{
      .os = context_.os,
      .pool = pool,
      .upper = context_.upper,
      .staging = staging,
      .family = context_.family,
      .owner = context_.owner,
      .privileged = is_privileged(),
      .unrepresentable = &context_.unrepresentable,
      .content = [&](NodeId id) { return decoder_->open_file(ino_of(id)); },
      .share =
          [&](int fd, NodeId id, uint64_t at, uint64_t end) {
            return shared_.share(fd, ino_of(id), at, end);
          },
      .begin =
          [&](NodeId id, const At& at) {
            return copies_.give(ino_of(id), pool, id, at);
          }};
  UpperStage stage(target, planned.plan.upper);
  pending.steps = OVL_TRY(stage.run());
  place(std::move(planned.plan), stage, pending);
  return {};
}

void Checkpointer::place(LivePlan plan, const UpperStage& stage,
                         Pending& pending) const {
  for (LivePlan::Placed& placed : plan.placed) {
    LiveTree::Standing& standing = placed.standing;
    standing.is_absent = stage.left_out().contains(placed.node);
    if (standing.is_absent) {
      standing.lower = names_.tree().standing(placed.id).lower;
      pending.left_out.insert(placed.id.ino);
    } else if (standing.ino == 0) {
      standing.ino = stage.made_ino(placed.node);
    }
  }
  pending.placed = std::move(plan.placed);
}

Status Checkpointer::keep_catalog(const CatalogDelta& delta,
                                  const CatalogPoint& point, MarkState& mark) {
  const KeptCatalog::Place place =
      OVL_TRY(catalog_.keep(decoder_->catalog(), delta, point));
  mark.applied = Position{point.position};
  mark.applied_transaction = point.transaction;
  mark.catalog = place.number;
  return {};
}

Status Checkpointer::begin_publishing(const Pending& pending) {
  OVL_TRY(touched_.append(touched_by(pending.steps)));
  OVL_TRY(write_plan(context_.os, context_.state_dir, pending.steps));
  OVL_TRY(context_.os.fsync(context_.state_dir).in("workdir: ovl"));
  is_mark_unsure_ = true;
  OVL_TRY(set_mark(pending.mark, Phase::kCheckpointing));
  is_mark_unsure_ = false;
  return {};
}

Result<Changes> Checkpointer::publish_pending() {
  {
    const WriterLock lock(context_.files.quiet());
    OVL_TRY(tell_where_files_go());
    OVL_TRY(publish_steps());
    OVL_TRY(set_mark(pending_->mark, Phase::kWriting));
    OVL_TRY(handover_.finish(pending_->changes, names_.tree(),
                             decoder_->catalog()));
  }
  names_.end();
  applied_ = pending_->mark.applied;
  const Pending done = std::move(*pending_);
  pending_.reset();
  strangers_.clear();
  OVL_TRY(keep_absent(done.left_out, done.changes));
  if (done.is_whole)
    OVL_TRY(copies_.remove_all());
  OVL_TRY(finish_pending());
  OVL_TRY(handover_.remove_unneeded());
  return done.changes;
}

// Before anything goes there: readers find files on their way, and where an
// attempt that failed has left them.
Status Checkpointer::tell_where_files_go() {
  OVL_TRY(handover_.begin(pending_->changes, decoder_->catalog()));
  Fd staging = OVL_TRY(open_staging(context_.os, context_.state_dir));
  names_.begin(pending_->changes, pending_->placed, pending_->steps,
               std::move(staging));
  return {};
}

// An attempt that failed may have left a mark that says it was done.
Status Checkpointer::publish_steps() {
  if (pending_->steps.empty())
    return {};
  OVL_TRY(set_mark(pending_->mark, Phase::kCheckpointing));
  const Fd staging = OVL_TRY(open_staging(context_.os, context_.state_dir));
  return publish(context_.os, context_.upper, staging.get(), pending_->steps,
                 &context_.unrepresentable);
}

// Those that the guest removed are forgotten.
Status Checkpointer::keep_absent(const std::set<Ino>& left_out,
                                 const Changes& changes) {
  if (absent_.empty())
    return {};
  std::set<Ino> inodes = absent_.inodes();
  for (const ObjectChange& change : changes.objects)
    if (change.kind == ObjectChange::Kind::kGone &&
        !left_out.contains(change.id.ino))
      inodes.erase(change.id.ino);
  return absent_.keep_only(std::move(inodes));
}

Status Checkpointer::finish_pending() {
  OVL_TRY(catalog_.forget_old().in("workdir: ovl"));
  if (touched_.bytes() <= kMostTouchedBytes)
    return {};
  OVL_TRY(context_.record_upper());
  return touched_.remove();
}

Status Checkpointer::set_mark(const MarkState& mark, Phase phase) {
  return context_.disk
      .change_mark([&](MarkState& state) {
        state.phase = phase;
        state.applied = mark.applied;
        state.applied_transaction = mark.applied_transaction;
        state.catalog = mark.catalog;
      })
      .in("workdir: ovl");
}

Status Checkpointer::adopt() {
  Catalog none(base_);
  OVL_TRY(catalog_.read({}, none));
  OVL_TRY(KeptCatalog::remove_all(context_.os, context_.state_dir)
              .in("workdir: ovl"));
  decoder_ = std::make_unique<Decoder>(std::move(none));
  const std::shared_ptr<const DiskView> view = OVL_TRY(context_.disk.seal());
  note_all_written(*view, *decoder_, BeginsAt::kBase);
  OVL_TRY(decoder_->decode(*view, Decoder::Stillness::kStill));
  const CatalogDelta delta = decoder_->accept();
  MarkState mark;
  const CatalogPoint point{to_int(view->last()), decoder_->last_transaction()};
  OVL_TRY(keep_catalog(delta, point, mark).in("workdir: ovl"));
  return set_mark(mark, Phase::kSettled);
}

}  // namespace ovl
