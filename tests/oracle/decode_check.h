// SPDX-License-Identifier: BSD-3-Clause
//
// Compares, at positions of a trace, the tree that decoded changes make with
// the one that e2fsck and the kernel show. What is expected depends on how the
// guest uses its file system:
//
//   with a journal       decoded at every position; the tree is that of the
//                        replayed journal
//   in place, and still  decoded when e2fsck finds nothing wrong; if decoded,
//                        the tree is what e2fsck leaves of it
//   in place, and busy   not decoded
//
// What e2fsck and the kernel are asked is asked on a thread of its own, while
// the next states are decoded.
#pragma once

#include <future>
#include <set>
#include <string>
#include <vector>

#include "tests/oracle/decoding.h"
#include "tests/support/commit_points.h"
#include "tests/support/replayed_tree.h"

namespace ovl {

struct CheckPlan {
  std::set<size_t> decoded;  // where changes are taken
  std::set<size_t> asked;    // of them: where e2fsck and the kernel are asked
  std::set<size_t> sealed;   // of them: where decoding must not say "not yet"
};

struct CheckCounts {
  size_t decoded = 0;
  size_t not_yet = 0;
  size_t compared = 0;  // trees
  size_t mended = 0;    // of them: of states in place
  size_t unsound = 0;   // that were not decoded, and e2fsck found why
};

class DecodeCheck {
 public:
  /// Works in `directory`. All outlive it.
  DecodeCheck(Decoding& decoding, const std::string& directory)
      : decoding_(decoding), kernel_(directory) {}

  /// EUCLEAN, with position and lines, at the first difference.
  Result<CheckCounts> run(const CheckPlan& plan);

 private:
  using Lines = std::vector<std::string>;

  Status step(size_t position, const CheckPlan& plan);
  Status ask(Situation situation, bool is_decoded);
  void compare(Lines decoded, bool is_mended);
  void expect_unsound(const std::string& refusal);
  Status finish_asking();

  Decoding& decoding_;
  const ReplayedTree kernel_;
  std::future<Status> answer_;
  size_t asked_at_ = 0;
  CheckCounts counts_;
};

}  // namespace ovl
