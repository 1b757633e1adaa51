// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/device/lower_parts.h"
#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/live_plan.h"
#include "fsengine/overlay/lower_copy.h"
#include "fsengine/overlay/stack.h"
#include "images/image.h"

namespace ovl {

/// What is copied before a checkpoint, and not by it.
struct CopyRules {
  /// Of one file; less is copied by the checkpoint itself.
  uint64_t more_than = uint64_t{256} << 20;
  /// At once: what a kill may cost, and how long a stop has to wait.
  uint64_t slice_bytes = uint64_t{128} << 20;
  /// That a copy leaves free on the host's disk, for what a guest writes.
  uint64_t spare_bytes = uint64_t{256} << 20;
};

/// The copies that a checkpoint needs of large files of the lowers: made before
/// it, kept across restarts, given to the files of upper that they are for. The
/// essay is in the .cc. For the thread that makes checkpoints.
class CopiesAhead {
 public:
  struct Context {
    Os& os;
    int state_dir;  // workdir/ovl
    const Stack& stack;
    const Image& image;
    FileReader& layers;
    LowerParts& parts;
    CopyRules rules;
    std::function<void(const std::string& line)> report;
  };
  /// All that the context refers to outlives it.
  explicit CopiesAhead(const Context& context)
      : context_(context), spare_bytes_(context.rules.spare_bytes) {}

  /// Finds what there is. Costs nothing when it was called before. REQUIRES:
  /// what is in staging is of no use any more.
  Status begin();

  /// Must something be copied before `plan` is staged? REQUIRES: begin()
  /// was called, and the parts are those of `changes`, not accepted yet.
  Result<bool> find_lacking(const LivePlan& plan, const NodePool& pool,
                            const Changes& changes);

  /// Copies a slice of that, durably. REQUIRES: find_lacking() said true; no
  /// view is needed any more.
  Status copy_slice();

  /// No guest writes any more: the host's disk may become full.
  void spare_nothing() { spare_bytes_ = 0; }

  /// Puts the copy for the guest's file `ino` at a place in staging, as
  /// UpperTarget::begin has it. `node` is the file as it will be. REQUIRES: the
  /// parts are those of the state that is staged, in which staging was empty.
  Result<std::vector<ByteRange>> give(Ino ino, const NodePool& pool,
                                      NodeId node, const At& at);

  /// Nothing needs one any more.
  Status remove_all();
  static Status remove_all(Os& os, int state_dir);

 private:
  // What is copied next.
  struct Lacking {
    LowerCopy* copy = nullptr;
    std::vector<uint64_t> chunks;
  };

  NodeId large_file_of(Ino ino) const;
  Result<LowerCopy*> copy_of(NodeId file);
  Status find_lacking_of(NodeId file, Ino ino,
                         const std::vector<DataRun>& runs);
  void report(NodeId file);
  template <typename T>
  T or_forget(NodeId file, T result);
  template <typename Visit>
  void for_each_part(NodeId file, Ino ino, const std::vector<DataRun>& runs,
                     Visit visit);
  Status check_space(uint64_t chunks) const;

  const Context context_;
  uint64_t spare_bytes_;
  bool is_begun_ = false;
  std::map<NodeId, std::unique_ptr<LowerCopy>> copies_;
  std::set<uint16_t> sharing_;  // layers that share their space with upper
  std::set<NodeId> reported_;
  Lacking lacking_;
};

}  // namespace ovl
