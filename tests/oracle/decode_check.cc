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
  OVL_TRY(finish_asking());
  return counts_;
}

Status DecodeCheck::step(size_t position, const CheckPlan& plan) {
  const bool is_decoded = OVL_TRY(decoding_.go_to(position));
  const Situation situation = OVL_TRY(decoding_.situation());
  ++(is_decoded ? counts_.decoded : counts_.not_yet);
  if (!is_decoded &&
      (situation == Situation::kJournal || plan.sealed.contains(position)))
    return fail(EBUSY, "it was not decoded: " + decoding_.refusal());
  if (is_decoded && situation == Situation::kBusy)
    return fail(EUCLEAN, "it was decoded while the guest writes in place");
  if (situation == Situation::kBusy || !plan.asked.contains(position))
    return {};
  OVL_TRY(finish_asking());
  asked_at_ = position;
  return ask(situation, is_decoded);
}

Status DecodeCheck::ask(Situation situation, bool is_decoded) {
  OVL_TRY(kernel_.copy(decoding_.file()));
  if (!is_decoded)
    expect_unsound(decoding_.refusal());
  else if (situation == Situation::kJournal)
    compare(OVL_TRY(decoding_.lines()), false);
  else
    compare(OVL_TRY(decoding_.tree_lines()), true);
  return {};
}

void DecodeCheck::compare(Lines decoded, bool is_mended) {
  ++counts_.compared;
  counts_.mended += is_mended ? 1 : 0;
  answer_ = std::async(
      std::launch::async,
      [this, is_mended, decoded = std::move(decoded)]() -> Status {
        const Lines seen = OVL_TRY(is_mended ? kernel_.read_mended()
                                             : kernel_.read_replayed());
        const Lines lines = line_diff(seen, decoded);
        if (!lines.empty())
          return differ(lines);
        return {};
      });
}

void DecodeCheck::expect_unsound(const std::string& refusal) {
  ++counts_.unsound;
  answer_ = std::async(std::launch::async, [this, refusal]() -> Status {
    const bool is_sound = OVL_TRY(kernel_.is_sound());
    if (is_sound)
      return fail(
          EUCLEAN,
          "e2fsck finds nothing wrong, and it was not decoded: " + refusal);
    return {};
  });
}

Status DecodeCheck::finish_asking() {
  if (!answer_.valid())
    return {};
  return answer_.get().in(fmt::format("asked at position {}", asked_at_));
}

}  // namespace ovl
