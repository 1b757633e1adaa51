// SPDX-License-Identifier: BSD-3-Clause
//
// First all headers: they tell the order of the segments, and where each of
// them ends. Then the records, until one is not valid. That one is where the
// last server died, or where something else destroyed what was safe: the
// second it is when anything written later states that it was on disk.
#include "fsengine/store/log_reader.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <limits>
#include <optional>
#include <string>

#include "fsengine/base/dir_names.h"
#include "fsengine/store/segment_reader.h"

namespace ovl {
namespace {

constexpr uint32_t kMinSegmentBlocks = 4;
constexpr uint32_t kMaxSegmentBlocks = 1 << 18;  // 1 GiB

class LogScan {
 public:
  LogScan(int directory, const LogExpectation& expected)
      : directory_(directory), expected_(expected) {}

  Result<FoundLog> run(const PlacedCheck& has_placed);

 private:
  struct Candidate {
    SegmentReader reader;
    Position end;  // first position that is not its own
  };

  Status find_segments();
  Status add_segment(SegmentReader reader);
  Status put_in_order();
  Status check_start() const;
  Result<bool> read_segment(Candidate& segment);
  void keep(const RecordHead& head, const Candidate& segment);
  Status cut_unplaced(const PlacedCheck& has_placed);
  Result<bool> is_sound(const RecordHead& head) const;
  Status refuse_damage(size_t torn);

  const int directory_;
  const LogExpectation& expected_;
  std::vector<Candidate> segments_;
  std::vector<SegmentReader> headless_;
  FoundLog found_;
  Position durable_{};  // as what counts says
};

tl::unexpected<Error> damaged(const std::string& path,
                              const std::string& what) {
  return fail(EUCLEAN, path + ": the log is damaged: " + what);
}

Status LogScan::add_segment(SegmentReader reader) {
  if (reader.header_state() == HeaderState::kUnknownVersion)
    return fail(EPROTO, reader.path() + ": of an unknown version");
  const SegmentHeader& header = reader.header();
  const bool ours = reader.header_state() == HeaderState::kValid &&
                    header.fingerprint == expected_.fingerprint;
  if (!ours) {
    headless_.push_back(std::move(reader));
    return {};
  }
  const bool fits =
      header.blocks >= kMinSegmentBlocks &&
      header.blocks <= kMaxSegmentBlocks &&
      reader.file_size() == uint64_t{header.blocks} * kBlockSize &&
      (found_.segment_blocks == 0 || found_.segment_blocks == header.blocks);
  if (!fits)
    return damaged(reader.path(), "a segment of a wrong size");
  found_.segment_blocks = header.blocks;
  found_.last_sequence = std::max(found_.last_sequence, header.sequence);
  segments_.push_back({std::move(reader), Position{}});
  return {};
}

Status LogScan::find_segments() {
  for (const std::string& name : OVL_TRY(list_names(directory_).in("log"))) {
    uint32_t number = 0;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end)
      continue;
    SegmentReader reader = OVL_TRY(SegmentReader::open(directory_, number));
    OVL_TRY(add_segment(std::move(reader)));
  }
  return {};
}

// What a later segment begins with is void in those before.
Status LogScan::put_in_order() {
  const auto sequence = [](const Candidate& segment) {
    return segment.reader.header().sequence;
  };
  std::ranges::sort(segments_, {}, sequence);
  const auto twin = std::ranges::adjacent_find(segments_, {}, sequence);
  if (twin != segments_.end())
    return damaged(twin->reader.path(), "two segments with one number");
  Position limit{std::numeric_limits<uint64_t>::max()};
  for (size_t i = segments_.size(); i-- > 0;) {
    segments_[i].end = limit;
    limit = std::min(limit, segments_[i].reader.header().first);
  }
  std::erase_if(segments_, [this](const Candidate& segment) {
    return segment.reader.header().first >= segment.end ||
           to_int(segment.end) <= to_int(expected_.folded) + 1;
  });
  return {};
}

Status LogScan::check_start() const {
  const bool all_folded_or_new =
      segments_.empty() ||
      segments_.front().reader.header().first <= next(expected_.folded);
  if (!all_folded_or_new)
    return damaged(segments_.front().reader.path(),
                   "the records before it are missing");
  if (expected_.opened_sequence > found_.last_sequence)
    return damaged(
        "log",
        "segment " + std::to_string(expected_.opened_sequence) + " is missing");
  return {};
}

Result<bool> LogScan::is_sound(const RecordHead& head) const {
  const uint64_t first = to_int(head.first);
  return first < expected_.device_blocks &&
         head.count <= expected_.device_blocks - first;
}

void LogScan::keep(const RecordHead& head, const Candidate& segment) {
  const uint32_t number = segment.reader.number();
  if (found_.live.empty() || found_.live.back().number != number)
    found_.live.push_back({number, segment.reader.header()});
  found_.records.push_back(
      {head, static_cast<uint32_t>(found_.live.size() - 1)});
}

// True when the segment was read to its end, false when it is torn.
Result<bool> LogScan::read_segment(Candidate& segment) {
  for (Position at = segment.reader.header().first; at < segment.end;
       at = next(at)) {
    const auto head = OVL_TRY(segment.reader.next_record());
    if (!head || !OVL_TRY(is_sound(*head)))
      return false;
    found_.last = std::max(found_.last, at);
    durable_ = std::max(durable_, head->durable);
    if (at > expected_.folded)
      keep(*head, segment);
  }
  return true;
}

// Bytes in the store are checked where nothing says that they were synced:
// those that were may have made way for newer ones since.
Status LogScan::cut_unplaced(const PlacedCheck& has_placed) {
  for (size_t i = 0; i < found_.records.size(); ++i) {
    const RecordHead& head = found_.records[i].head;
    if (head.kind != RecordKind::kPlaced || head.position <= durable_ ||
        OVL_TRY(has_placed(head)))
      continue;
    found_.last = Position{to_int(head.position) - 1};
    found_.records.resize(i);
    break;
  }
  const size_t used =
      found_.records.empty() ? 0 : found_.records.back().segment + 1;
  found_.live.resize(used);
  return {};
}

// Does anything from segment `torn` on say that the record behind the last one
// was durable?
Status LogScan::refuse_damage(size_t torn) {
  const Position lost = next(found_.last);
  Position durable = expected_.durable;
  for (size_t i = torn; i < segments_.size(); ++i) {
    SegmentReader& reader = segments_[i].reader;
    if (i > torn)
      durable = std::max(durable, reader.header().durable);
    durable = std::max(durable, OVL_TRY(reader.durable_behind(
                                    lost, reader.header().incarnation)));
  }
  for (SegmentReader& reader : headless_)
    durable = std::max(
        durable, OVL_TRY(reader.durable_behind(
                     lost, segments_.back().reader.header().incarnation)));
  if (durable < lost)
    return {};
  return damaged(segments_[torn].reader.path(),
                 "record " + std::to_string(to_int(lost)) +
                     " was on disk and is not valid");
}

Result<FoundLog> LogScan::run(const PlacedCheck& has_placed) {
  found_.last = expected_.folded;
  durable_ = expected_.durable;
  OVL_TRY(find_segments());
  OVL_TRY(put_in_order());
  OVL_TRY(check_start());
  for (size_t i = 0; i < segments_.size(); ++i) {
    durable_ = std::max(durable_, segments_[i].reader.header().durable);
    if (OVL_TRY(read_segment(segments_[i])))
      continue;
    OVL_TRY(refuse_damage(i));
    break;
  }
  OVL_TRY(cut_unplaced(has_placed));
  return std::move(found_);
}

}  // namespace

Result<FoundLog> read_log(int directory, const LogExpectation& expected,
                          const PlacedCheck& has_placed) {
  return LogScan(directory, expected).run(has_placed);
}

}  // namespace ovl
