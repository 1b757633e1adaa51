// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/copy_record.h"

#include "fsengine/base/checked_file.h"

namespace ovl {
namespace {

constexpr FileKind kRecord{
    "record", "record.new", {'o', 'v', 'l', 'c', 'o', 'p', 'y', '\0'}, 1};

constexpr uint32_t kHasBirth = 1;
constexpr uint32_t kIsTaken = 2;
constexpr uint64_t kWordBits = 64;

struct RecordStart {
  uint64_t ino;
  uint64_t size;
  int64_t mtime_sec;
  int64_t birth_sec;
  uint32_t mtime_nsec;
  uint32_t birth_nsec;
  uint32_t layer;
  uint32_t flags;
  uint64_t chunks;
};
static_assert(sizeof(RecordStart) == 56);

RecordStart start_of(const CopyRecord& record) {
  const LowerIdentity& of = record.of;
  const Timestamp birth = of.birth.value_or(Timestamp{});
  return {
      .ino = of.ino,
      .size = of.size,
      .mtime_sec = of.mtime.sec,
      .birth_sec = birth.sec,
      .mtime_nsec = of.mtime.nsec,
      .birth_nsec = birth.nsec,
      .layer = of.layer,
      .flags = (of.birth ? kHasBirth : 0) | (record.is_taken ? kIsTaken : 0),
      .chunks = of.chunks()};
}

CopyRecord record_of(const RecordStart& start) {
  CopyRecord record;
  record.of = {.layer = start.layer,
               .ino = start.ino,
               .size = start.size,
               .mtime = {start.mtime_sec, start.mtime_nsec},
               .birth = {}};
  if ((start.flags & kHasBirth) != 0)
    record.of.birth = Timestamp{start.birth_sec, start.birth_nsec};
  record.is_taken = (start.flags & kIsTaken) != 0;
  return record;
}

Status read_chunks(CheckedReader& in, CopyRecord& record) {
  const uint64_t count = record.of.chunks();
  OVL_TRY(in.expect(count / kWordBits, sizeof(uint64_t)));
  record.chunks.resize(count);
  for (uint64_t first = 0; first < count; first += kWordBits) {
    const auto word = OVL_TRY(in.get<uint64_t>());
    for (uint64_t bit = 0; bit < kWordBits; ++bit) {
      const bool is_set = (word >> bit & 1) != 0;
      if (first + bit < count)
        record.chunks[first + bit] = is_set;
      else if (is_set)
        return damaged("a chunk behind the last one");
    }
  }
  return {};
}

Result<CopyRecord> read_content(CheckedReader& in) {
  const auto start = OVL_TRY(in.get<RecordStart>());
  CopyRecord record = record_of(start);
  if (start.chunks != record.of.chunks() ||
      (start.flags & ~(kHasBirth | kIsTaken)) != 0)
    return damaged("start");
  OVL_TRY(read_chunks(in, record));
  OVL_TRY(in.finish());
  return record;
}

}  // namespace

Status write_copy_record(Os& os, int directory, const CopyRecord& record) {
  CheckedWriter out = OVL_TRY(CheckedWriter::create(os, directory, kRecord));
  OVL_TRY(out.put(start_of(record)));
  for (uint64_t first = 0; first < record.chunks.size(); first += kWordBits) {
    uint64_t word = 0;
    for (uint64_t bit = 0; bit < kWordBits; ++bit)
      if (first + bit < record.chunks.size() && record.chunks[first + bit])
        word |= uint64_t{1} << bit;
    OVL_TRY(out.put(word));
  }
  return out.commit();
}

Result<CopyRecord> read_copy_record(int directory) {
  CheckedReader in = OVL_TRY(CheckedReader::open(directory, kRecord));
  return read_content(in).in(kRecord.name);
}

Status remove_copy_record(Os& os, int directory) {
  return remove_checked_file(os, directory, kRecord);
}

}  // namespace ovl
