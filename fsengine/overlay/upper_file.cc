// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/upper_file.h"

#include "fsengine/base/checked_file.h"
#include "fsengine/base/paths.h"
#include "fsengine/base/string_codec.h"

namespace ovl {
namespace {

constexpr FileKind kUpperFile{
    "upper", "upper.new", {'o', 'v', 'l', 'u', 'p', 'p', 'e', 'r'}, 1};

struct ObjectRecord {
  uint64_t ino;
  uint64_t size;
  int64_t mtime_sec;
  int64_t ctime_sec;
  uint32_t mtime_nsec;
  uint32_t ctime_nsec;
  uint32_t parent;
  uint32_t name;
  uint32_t mode;
  uint32_t rdev;
  uint32_t base;
  uint32_t zero;
};
static_assert(sizeof(ObjectRecord) == 64);

ObjectRecord record_of(const UpperObject& object) {
  return {.ino = object.ino,
          .size = object.size,
          .mtime_sec = object.mtime.sec,
          .ctime_sec = object.ctime.sec,
          .mtime_nsec = object.mtime.nsec,
          .ctime_nsec = object.ctime.nsec,
          .parent = object.parent,
          .name = static_cast<uint32_t>(object.name),
          .mode = object.mode,
          .rdev = object.rdev.packed,
          .base = to_int(object.base),
          .zero = 0};
}

UpperObject object_of(const ObjectRecord& record) {
  return {.ino = record.ino,
          .size = record.size,
          .mtime = {record.mtime_sec, record.mtime_nsec},
          .ctime = {record.ctime_sec, record.ctime_nsec},
          .parent = record.parent,
          .name = StrRef{record.name},
          .mode = record.mode,
          .rdev = {record.rdev},
          .base = NodeId{record.base}};
}

class UpperReader {
 public:
  UpperReader(CheckedReader& in, uint32_t nodes) : in_(in), nodes_(nodes) {}

  Result<UpperRecord> run() {
    const auto count = OVL_TRY(in_.get<uint64_t>());
    record_.names = OVL_TRY(read_strings(in_));
    starts_ = StringStarts(record_.names);
    OVL_TRY(in_.expect(count, sizeof(ObjectRecord)));
    for (uint64_t i = 0; i < count; ++i) {
      const auto record = OVL_TRY(in_.get<ObjectRecord>());
      if (!is_valid(record))
        return damaged("object " + std::to_string(i));
      record_.objects.push_back(object_of(record));
    }
    OVL_TRY(in_.finish());
    if (record_.objects.empty())
      return damaged("no root");
    return std::move(record_);
  }

 private:
  bool is_valid(const ObjectRecord& record) const {
    return record.zero == 0 && record.mode <= UINT16_MAX &&
           has_known_type(record.mode) && starts_.has(StrRef{record.name}) &&
           (record.base < nodes_ || NodeId{record.base} == kNoNode) &&
           (record_.objects.empty() ? is_root(record) : is_next(record));
  }

  bool is_root(const ObjectRecord& record) const {
    return S_ISDIR(record.mode) && record.parent == 0 &&
           record_.names.get(StrRef{record.name}).empty();
  }

  // In a directory that was there before, and behind its last object.
  bool is_next(const ObjectRecord& record) const {
    const auto& objects = record_.objects;
    if (record.parent >= objects.size() ||
        !S_ISDIR(objects[record.parent].mode))
      return false;
    const auto name = record_.names.get(StrRef{record.name});
    const UpperObject& last = objects.back();
    return is_name(name) &&
           std::pair(last.parent, record_.names.get(last.name)) <
               std::pair(record.parent, name);
  }

  CheckedReader& in_;
  const uint32_t nodes_;
  UpperRecord record_;
  StringStarts starts_;
};

}  // namespace

Status write_upper(Os& os, int state_dir, const UpperRecord& record) {
  CheckedWriter out = OVL_TRY(CheckedWriter::create(os, state_dir, kUpperFile));
  OVL_TRY(out.put(uint64_t{record.objects.size()}));
  OVL_TRY(write_strings(out, record.names));
  for (const UpperObject& object : record.objects)
    OVL_TRY(out.put(record_of(object)));
  return out.commit();
}

Result<UpperRecord> read_upper(int state_dir, uint32_t nodes) {
  CheckedReader in = OVL_TRY(CheckedReader::open(state_dir, kUpperFile));
  return UpperReader(in, nodes).run().in(kUpperFile.name);
}

Status remove_upper(Os& os, int state_dir) {
  return remove_checked_file(os, state_dir, kUpperFile);
}

}  // namespace ovl
