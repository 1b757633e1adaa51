// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/tree_difference.h"

#include <sys/stat.h>

#include <array>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fsengine/base/paths.h"
#include "fsengine/overlay/same_content.h"
#include "fsengine/overlay/upper_plan.h"

namespace ovl {
namespace {

struct Pair {
  NodeId guest = kNoNode;
  NodeId now = kNoNode;
  std::string path;
};

class Comparison {
 public:
  Comparison(const Tree& guest, const Tree& now, OwnerPolicy owner,
             const ContentOf& content)
      : pool_(guest.pool),
        owner_(owner),
        content_(content),
        waiting_{{guest.root, now.root, ""}} {}

  Result<std::optional<std::string>> run() {
    while (!waiting_.empty()) {
      const Pair pair = std::move(waiting_.back());
      waiting_.pop_back();
      if (pair.guest == pair.now)
        continue;
      if (!OVL_TRY(is_alike(pair)))
        return pair.path;
      if (pool_[pair.guest].is_dir() && !add_entries(pair))
        return pair.path;
    }
    return std::nullopt;
  }

 private:
  Result<bool> is_alike(const Pair& pair) {
    const Node& guest = pool_[pair.guest];
    const Node& now = pool_[pair.now];
    if (((guest.mode ^ now.mode) & S_IFMT) != 0 || guest.size != now.size ||
        !same_carried_attributes(guest, now, owner_))
      return false;
    if (guest.is_device())
      return guest.rdev == now.rdev;
    if (guest.is_symlink())
      return pool_.strings.get(guest.target) == pool_.strings.get(now.target);
    if (!guest.is_dir() && !is_same_link(pair))
      return false;
    return guest.is_regular() ? has_same_bytes(pair) : true;
  }

  // All names of an object lead to one object on the other side.
  bool is_same_link(const Pair& pair) {
    const auto is_known = [](auto& known, NodeId from, NodeId to) {
      return known.try_emplace(from, to).first->second == to;
    };
    return is_known(now_of_, pair.guest, pair.now) &&
           is_known(guest_of_, pair.now, pair.guest);
  }

  Result<bool> has_same_bytes(const Pair& pair) {
    const uint64_t size = pool_[pair.guest].size;
    if (size == 0)
      return true;
    const auto guest = OVL_TRY(content_(pair.guest).in(pair.path));
    const auto now = OVL_TRY(content_(pair.now).in(pair.path));
    const std::array<DataRun, 1> all{
        {{0, static_cast<uint32_t>(blocks_for(size))}}};
    return same_content(*guest, *now, all).in(pair.path);
  }

  bool add_entries(const Pair& pair) {
    const auto guest = pool_.entries(pair.guest);
    const auto now = pool_.entries(pair.now);
    if (guest.size() != now.size())
      return false;
    for (size_t i = 0; i < guest.size(); ++i) {
      const std::string_view name = pool_.name(guest[i]);
      if (name != pool_.name(now[i]))
        return false;
      waiting_.push_back(
          {guest[i].node, now[i].node, join_path(pair.path, name)});
    }
    return true;
  }

  const NodePool& pool_;
  const OwnerPolicy owner_;
  const ContentOf& content_;
  std::vector<Pair> waiting_;
  std::unordered_map<NodeId, NodeId> now_of_;
  std::unordered_map<NodeId, NodeId> guest_of_;
};

}  // namespace

Result<std::optional<std::string>> find_tree_difference(
    const Tree& guest, const Tree& now, OwnerPolicy owner,
    const ContentOf& content) {
  return Comparison(guest, now, owner, content).run();
}

}  // namespace ovl
