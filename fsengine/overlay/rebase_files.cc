// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/rebase_files.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <tuple>

#include "fsengine/overlay/same_content.h"
#include "fsengine/overlay/upper_plan.h"

namespace ovl {
namespace {

// A guest that shuffles many large and almost equal files must not have all
// of them compared with each other.
constexpr size_t kMaxComparisons = 4;

// Whose bytes a layer's file has.
NodeId data_of(const NodePool& pool, NodeId object) {
  const bool elsewhere = (pool[object].marks & kMarkMetacopy) != 0;
  return elsewhere ? pool[object].source : object;
}

}  // namespace

FileRebase::File& FileRebase::find_or_add(NodeId guest) {
  const auto [at, is_new] = index_.emplace(guest, files_.size());
  if (!is_new)
    return files_[at->second];
  const Node& node = input_.pool[guest];
  File& file = files_.emplace_back();
  file.guest = guest;
  file.object = layer_object(input_.pool, guest);
  const bool changed = node.origin == Origin::kGuest && node.content_changed;
  file.same_content = file.object != kNoNode && !changed;
  return file;
}

void FileRebase::add_name(NodeId guest, NodeId lower, NodeId peer) {
  File& file = find_or_add(guest);
  ++file.names;
  file.shows_through &= lower == file.object;
  const bool usable =
      is_upper_object(input_.pool, peer) && !input_.pool[peer].is_dir();
  if (usable)
    file.peers.push_back(peer);
}

NodeId FileRebase::result(NodeId guest) const {
  return files_[index_.at(guest)].result;
}

// The surest first, so that nothing else can take its object of upper.
Status FileRebase::decide(Search search) {
  std::vector<size_t> unknown;
  for (size_t i = 0; i < files_.size(); ++i) {
    File& file = files_[i];
    if (is_lower_as_it_is(file))
      file.result = file.object;
    else if (!OVL_TRY(take_known(file)))
      unknown.push_back(i);
  }
  std::vector<size_t> alone;
  for (const size_t i : unknown) {
    OVL_TRY(settle_alone(files_[i]));
    if (!OVL_TRY(take_equal(files_[i], peers_and_now(files_[i]))))
      alone.push_back(i);
  }
  return search == Search::kAll ? take_moved(alone) : Status();
}

bool FileRebase::is_lower_as_it_is(const File& file) const {
  return file.shows_through && file.same_content &&
         same_carried_attributes(input_.pool[file.guest],
                                 input_.pool[file.object], input_.owner);
}

NodeId FileRebase::now_of(const File& file) const {
  const auto at = input_.now.find(file.object);
  return at == input_.now.end() ? kNoNode : at->second;
}

Result<bool> FileRebase::take_known(File& file) {
  const NodeId now = now_of(file);
  if (now == kNoNode || taken_.contains(now) || !file.same_content ||
      !has_same_value(file.guest, now))
    return false;
  OVL_TRY(take(file, now));
  return true;
}

std::vector<NodeId> FileRebase::peers_and_now(const File& file) const {
  std::vector<NodeId> candidates = file.peers;
  if (const NodeId now = now_of(file); now != kNoNode)
    candidates.push_back(now);
  return candidates;
}

// All but the bytes of a file: its type, target, device number, or size.
bool FileRebase::has_same_value(NodeId guest, NodeId upper) const {
  const NodePool& pool = input_.pool;
  const Node& a = pool[guest];
  const Node& b = pool[upper];
  if ((a.mode & S_IFMT) != (b.mode & S_IFMT) || a.size != b.size)
    return false;
  if (a.is_symlink())
    return pool.strings.get(a.target) == pool.strings.get(b.target);
  return !a.is_device() || a.rdev == b.rdev;
}

Result<bool> FileRebase::take_equal(File& file,
                                    const std::vector<NodeId>& candidates) {
  std::unordered_set<NodeId> tried;
  for (const NodeId upper : candidates) {
    if (!may_be(file, upper) || !tried.insert(upper).second)
      continue;
    if (tried.size() > kMaxComparisons)
      return false;
    if (OVL_TRY(has_same_bytes(file, upper))) {
      OVL_TRY(take(file, upper));
      return true;
    }
  }
  return false;
}

// What can be told without reading.
bool FileRebase::may_be(const File& file, NodeId upper) const {
  const NodePool& pool = input_.pool;
  if (taken_.contains(upper) || !has_same_value(file.guest, upper))
    return false;
  return !pool[upper].is_regular() ||
         data_runs(pool, pool[file.guest]) == data_runs(pool, pool[upper]);
}

Result<bool> FileRebase::has_same_bytes(const File& file, NodeId upper) const {
  const NodePool& pool = input_.pool;
  if (!pool[upper].is_regular())
    return true;
  const auto runs = data_runs(pool, pool[upper]);
  const bool shared =
      file.same_content && data_of(pool, file.object) == data_of(pool, upper);
  if (runs.empty() || shared)
    return true;
  const auto ours = OVL_TRY(input_.content(file.result));
  const auto theirs = OVL_TRY(input_.content(upper));
  return same_content(*ours, *theirs, runs);
}

// Moved since an earlier write-back made it, or its directory was: size and
// time tell who it may be, as its path did.
Status FileRebase::take_moved(const std::vector<size_t>& alone) {
  if (alone.empty())
    return {};
  const NodePool& pool = input_.pool;
  const auto looks = [&pool](NodeId id) {
    const Node& node = pool[id];
    return std::tuple(node.size, node.mtime_sec, node.mtime_nsec);
  };
  std::map<decltype(looks(kNoNode)), std::vector<NodeId>> by_looks;
  for (const NodeId upper : upper_objects({pool, input_.merged}))
    if (pool[upper].is_regular() && !taken_.contains(upper))
      by_looks[looks(upper)].push_back(upper);
  for (const size_t i : alone)
    if (const auto at = by_looks.find(looks(files_[i].guest));
        at != by_looks.end() && pool[files_[i].guest].is_regular())
      OVL_TRY(take_equal(files_[i], at->second));
  return {};
}

// A metacopy file that gets another name or loses one would look for its bytes
// under a name that has none: a changed one is written in full.
Status FileRebase::take(File& file, NodeId upper) {
  const NodePool& pool = input_.pool;
  taken_.insert(upper);
  const auto in_place =
      std::ranges::count(file.peers, upper) == std::ptrdiff_t{file.names};
  const bool stays = in_place || (pool[upper].marks & kMarkMetacopy) == 0;
  file.result = upper;
  if (stays &&
      same_carried_attributes(pool[file.guest], pool[upper], input_.owner))
    return {};
  Node node = state_of(file.guest);
  node.source = upper;
  node.content_changed = false;
  file.result = OVL_TRY(add(node));
  return {};
}

// A node that needs nothing of upper. A lower's file of which a name does not
// show through is a kGuest node, so that the plan sees all of its names.
Status FileRebase::settle_alone(File& file) {
  const NodePool& pool = input_.pool;
  const bool of_upper = is_upper_object(pool, file.object);
  file.result = file.guest;
  if (pool[file.guest].origin == Origin::kGuest && !of_upper)
    return {};
  Node node = state_of(file.guest);
  if (of_upper) {
    node.source = kNoNode;
    node.content_changed = true;
  }
  file.result = OVL_TRY(add(node));
  return {};
}

Node FileRebase::state_of(NodeId guest) const {
  const Node& node = input_.pool[guest];
  return node.origin == Origin::kGuest
             ? node
             : newer_state(input_.pool, guest, input_.guest_ino(guest));
}

Result<NodeId> FileRebase::add(const Node& node) {
  if (input_.pool.size() >= to_int(kNoNode))
    return fail(ENOMEM, "too many objects");
  return input_.pool.add(node);
}

}  // namespace ovl
