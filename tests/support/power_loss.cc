// SPDX-License-Identifier: BSD-3-Clause
//
// What may be lost. A kill of the server leaves the host's cache, so all that
// it did; a loss of power leaves what is on disk:
//
//   sure      what a sync covers that ended before
//   possible  all else, each part of it or not
//
// A host with a journal (ext4, XFS) writes changes of its metadata in order,
// but its log is not the only place where bytes come from:
//
//   names         those of one directory change in order. A rename is atomic:
//                 both of its directories have it or none; so what one of them
//                 had before is there, too. Two directories have no order
//                 between them: the journals of ext4 and XFS would give one,
//                 btrfs and fast commits do not, and nobody promises it
//   one inode     owner, mode, attributes, time, size and holes change in
//   order,
//                 but have none with its names
//   bytes         each piece of each write by itself, before or after any of
//                 that: space is found late (delayed allocation), so a name can
//                 be there with its attributes and its size, and its bytes be
//                 zeros. But what is written behind a truncation or a hole lies
//                 in space that the host finds only after it: not without it
//   fdatasync     bytes, and size and holes with what the inode had before
//   fsync         the same and all of the inode, or all names of the directory;
//                 not the name of what is synced
//   syncfs        everything
//   a failed one  is told once. Bytes that it did not write count as written
//                 from then on: later syncs succeed and do not write them. They
//                 are lost unless they are written again
//
// What may not be lost: inode numbers. An object that comes back because its
// removal was lost is the one that it was, and the product tells objects by
// their numbers. So nothing is made anew: the trees are put as they must be
// from the very objects (host_tree.h). It follows that no number is used twice
// in one story; kills, which have nothing to put back, show what that does.
// Nor do times of status change come back.
#include "tests/support/power_loss.h"

#include <algorithm>
#include <random>
#include <set>

namespace ovl {
namespace {

using Inodes = std::set<uint64_t>;

// Whose changes `op` stands in order with.
Inodes streams_of(const HostOp& op) {
  if (op.is_of_bytes() || op.is_sync())
    return {};
  if (!op.is_of_names())
    return {op.object};
  Inodes streams{op.dir};
  if (op.to_dir != 0)
    streams.insert(op.to_dir);
  // A directory that goes is empty: its names went before.
  if (op.kind == HostOp::Kind::kRemoveDir)
    streams.insert(op.object);
  return streams;
}

bool meets(const Inodes& a, const Inodes& b) {
  return std::ranges::any_of(a, [&](uint64_t n) { return b.contains(n); });
}

// The syncs behind some point of time.
class LaterSyncs {
 public:
  void add(const HostOp& op) {
    using Kind = HostOp::Kind;
    if (op.kind == Kind::kSyncAll)
      all_ = true;
    if (op.kind == Kind::kSync)
      whole_.insert(op.object);
    if (op.kind == Kind::kSync || op.kind == Kind::kSyncData)
      bytes_.insert(op.object);
  }
  bool cover(const HostOp& op) const {
    if (all_)
      return true;
    if (op.is_of_bytes() || op.is_of_size())
      return bytes_.contains(op.object);
    return meets(streams_of(op), whole_);
  }

 private:
  bool all_ = false;
  Inodes whole_;
  Inodes bytes_;
};

class Host {
 public:
  Host(HostTree tree, Loss loss, uint64_t seed)
      : tree_(std::move(tree)), loss_(loss), random_(seed) {}

  HostTree take(std::span<const HostOp> ops) {
    const std::vector<bool> durable = find_durable(ops);
    journal_end_ = random_() % (ops.size() + 1);
    // Some have lost much, some next to nothing.
    rarity_ = uint64_t{2} << random_() % 5;
    for (size_t i = 0; i < ops.size(); ++i) {
      if (ops[i].kind == HostOp::Kind::kMake)
        tree_.make(ops[i]);
      if (ops[i].is_of_bytes())
        take_bytes(ops[i], durable[i]);
      else if (!ops[i].is_sync())
        take_change(ops[i], durable[i] || is_kept(ops[i], i));
    }
    tree_.drop_nameless();
    return std::move(tree_);
  }

 private:
  bool is_kept(const HostOp& op, size_t index) {
    switch (loss_) {
      case Loss::kNothing:
      case Loss::kBytes:
        return true;
      case Loss::kAll:
        return false;
      case Loss::kJournal:
        return index < journal_end_;
      case Loss::kAnyOrder:
        return !meets(streams_of(op), stopped_) && random_() % rarity_ != 0;
    }
    return true;
  }

  void take_change(const HostOp& op, bool is_kept) {
    if (is_kept)
      return tree_.apply(op);
    stopped_.merge(streams_of(op));
    if (op.is_of_size())
      resized_.insert(op.object);
  }

  void take_bytes(const HostOp& op, bool is_durable) {
    if (is_durable || (loss_ == Loss::kNothing && !op.is_doomed))
      return tree_.apply(op);
    const bool may_be_there =
        loss_ == Loss::kJournal || loss_ == Loss::kAnyOrder;
    if (!may_be_there || op.is_doomed || resized_.contains(op.object))
      return;
    const uint64_t unit = op.kind == HostOp::Kind::kStore ? 8 : 512;
    const uint64_t rarity = 1 + random_() % 4;
    tree_.apply_torn(op, unit,
                     [&](uint64_t) { return random_() % rarity == 0; });
  }

  HostTree tree_;
  const Loss loss_;
  std::mt19937_64 random_;
  size_t journal_end_ = 0;
  uint64_t rarity_ = 2;
  Inodes stopped_;  // whose changes are not there from some point on
  Inodes resized_;  // of a size that is not there
};

}  // namespace

std::vector<bool> find_durable(std::span<const HostOp> ops) {
  std::vector<bool> durable(ops.size());
  LaterSyncs syncs;
  Inodes before;  // with something durable later on
  for (size_t i = ops.size(); i-- > 0;) {
    syncs.add(ops[i]);
    const Inodes streams = streams_of(ops[i]);
    durable[i] =
        !ops[i].is_doomed && (syncs.cover(ops[i]) || meets(streams, before));
    if (durable[i])
      before.insert(streams.begin(), streams.end());
  }
  return durable;
}

HostTree tree_after_loss(const HostTree& before, std::span<const HostOp> ops,
                         Loss loss, uint64_t seed) {
  return Host(before, loss, seed).take(ops);
}

}  // namespace ovl
