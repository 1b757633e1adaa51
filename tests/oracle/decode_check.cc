// SPDX-License-Identifier: BSD-3-Clause
#include "tests/oracle/decode_check.h"

#include <cerrno>

#include <fmt/format.h>

#include "tests/support/line_diff.h"

namespace ovl {
namespace {

constexpr size_t kShownLines = 20;

tl::unexpected<Error> differ(const std::vector<std::string>& lines) {
  std::string text = "the kernel's tree | the decoded one:";
  for (size_t i = 0; i < lines.size() && i < kShownLines; ++i)
    text += "\n" + lines[i];
  return fail(EUCLEAN, text);
}

}  // namespace

Result<CheckCounts> DecodeCheck::run(const CheckPlan& plan) {
  for (const size_t position : plan.decoded)
    OVL_TRY(step(position, plan).in(fmt::format("position {}", position)));
  OVL_TRY(finish_comparison());
  return counts_;
}

Status DecodeCheck::step(size_t position, const CheckPlan& plan) {
  const bool is_decoded = OVL_TRY(decoding_.go_to(position));
  ++counts_.decoded;
  if (!is_decoded) {
    ++counts_.not_yet;
    if (plan.sealed.contains(position) || OVL_TRY(decoding_.is_in_use()))
      return fail(EBUSY, "it was not decoded");
    return {};
  }
  if (!plan.asked.contains(position))
    return {};
  OVL_TRY(finish_comparison());
  OVL_TRY(kernel_.copy(decoding_.file()));
  decoded_ = OVL_TRY(decoding_.lines());
  asked_at_ = position;
  answer_ = std::async(std::launch::async, [this] { return kernel_.read(); });
  return {};
}

Status DecodeCheck::finish_comparison() {
  if (!answer_.valid())
    return {};
  const std::string where = fmt::format("compared at position {}", asked_at_);
  const Lines seen = OVL_TRY(answer_.get().in(where));
  const Lines lines = line_diff(seen, decoded_);
  ++counts_.compared;
  if (lines.empty())
    return {};
  return Status(differ(lines)).in(where);
}

}  // namespace ovl
