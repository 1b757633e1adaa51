// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fsengine/base/result.h"
#include "fsengine/overlay/object_writer.h"
#include "fsengine/overlay/publish_plan.h"
#include "fsengine/overlay/upper_plan.h"
#include "fsengine/overlay/upper_target.h"

namespace ovl {

/// Makes in staging everything that the plan wants and upper has not, upper
/// only read: new content from the guest, objects that only moved by a link
/// from their old place. Syncs it, and says how to publish it. ESTALE when
/// upper is not what the scan saw. On error staging is to be emptied.
class UpperStage {
 public:
  UpperStage(const UpperTarget& target, const UpperPlan& plan)
      : target_(target), plan_(plan), writer_(target) {}

  Result<PublishPlan> run();

  /// Inode number of an object that was made. REQUIRES: run() was successful,
  /// and the plan wants `node` and had it made.
  uint64_t made_ino(NodeId node) const { return made_.at(node); }

  /// Those that the plan wants in upper, and it cannot have. REQUIRES: run()
  /// was successful.
  const std::unordered_set<NodeId>& left_out() const { return left_out_; }

 private:
  /// Where an object stands that further names can be linked to.
  struct Place {
    bool in_upper = false;
    std::string path;
  };
  /// What upper has under a name.
  struct Present {
    bool exists = false;
    uint32_t mode = 0;
    uint64_t ino = 0;
    bool whiteout = false;
  };

  const Node& object_of(const WantedDir& dir) const {
    return target_.pool[layer_object(target_.pool, dir.node)];
  }
  template <typename T>
  Result<T> at_path(Result<T> result, uint32_t index,
                    std::string_view name = "") const;
  Status compare_dir(uint32_t index);
  void add_move(uint32_t index, const std::string& staged);
  void add_place(uint32_t parent, const WantedName& wanted);
  Status stage_patch(const WantedPatch& patch);
  Status compare_name(uint32_t index, const WantedName& wanted,
                      const Present& present);
  Status replace(uint32_t index, const WantedName& wanted,
                 const Present& present);
  Result<bool> build_object(uint32_t index, const WantedName& wanted,
                            const At& at, const std::string& staged);
  Status remove_others(uint32_t index, int dir);
  Status remove(uint32_t index, int dir, const std::string& name);
  Status remove(uint32_t index, const std::string& name,
                const Present& present);
  Status build_dir(uint32_t index);
  Result<Fd> make_staged_dir(uint32_t index);
  Status build_name(uint32_t index, const WantedName& wanted, const At& at,
                    const std::string& staged);
  Status finish_dir(uint32_t index);
  Result<bool> make_or_link(NodeId node, const At& at, const Place& here,
                            const std::string& path);
  Result<bool> link_from(const Place& place, NodeId node, const At& at);
  bool is_in_place(NodeId node, const Present& present) const;
  void settle_file(NodeId node, const std::string& path);
  void settle_dir(uint32_t index);
  void settle_dirs();
  Result<Fd> open_kept(uint32_t index) const;
  static Result<Present> look_up(int dir, const std::string& name);
  static Status check_present(const WantedName& wanted, const Present& present);
  bool leaves(const Present& present) const;
  void add_step(uint32_t index, NameStep step, bool hides);
  Status identify_steps();
  void unlock_dirs();
  std::string new_staged_name() { return std::to_string(++staged_count_); }

  const UpperTarget& target_;
  const UpperPlan& plan_;
  ObjectWriter writer_;
  PublishPlan result_;
  std::vector<NameStep> hiding_;          // to come after all that adds
  std::vector<std::string> staged_path_;  // of dirs not kept, beneath staging
  std::unordered_map<NodeId, Place> first_place_;
  std::unordered_set<NodeId> settled_;
  std::unordered_set<uint32_t> touched_;
  std::unordered_set<uint64_t> leaving_;  // directories that move
  std::unordered_map<NodeId, uint64_t> made_;
  std::unordered_set<NodeId> left_out_;
  uint64_t staged_count_ = 0;
  uint64_t room_ = 0;  // bytes that patches take of upper
};

}  // namespace ovl
