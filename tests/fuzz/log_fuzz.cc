// SPDX-License-Identifier: BSD-3-Clause
//
// The reader of the log, over segments that the input describes. A byte string
// would never get past the checksums, so the input is a program: it makes
// segments with headers and records, their checksums right or not, with fields
// that it chooses, and then damages bytes. Whatever comes of it, reading ends,
// within the device, in order.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fsengine/base/fd.h"
#include "fsengine/store/log_reader.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace ovl;  // NOLINT

constexpr uint64_t kDevice = 512;
constexpr uint32_t kSegmentBlocks = 12;
constexpr uint64_t kFingerprint = 3;

using Input = FuzzInput;

using Bytes = std::vector<std::byte>;

template <size_t kSize>
void put(Bytes& file, uint64_t offset,
         const std::array<std::byte, kSize>& bytes) {
  if (offset + kSize <= file.size())
    std::copy(bytes.begin(), bytes.end(),
              file.begin() + static_cast<ptrdiff_t>(offset));
}

void add_records(Input& input, Bytes& file, const SegmentHeader& header) {
  uint64_t position = to_int(header.first);
  uint32_t cursor = 2;
  for (uint32_t n = input.byte() % 40; n > 0 && !input.empty(); --n) {
    RecordHead head;
    head.kind = static_cast<RecordKind>(1 + input.byte() % 4);
    head.position = Position{input.byte() % 8 == 0 ? input.number() : position};
    head.first = BlockNo{input.number()};
    head.count = 1 + input.number() % 4;
    if (input.byte() % 8 == 0)
      head.count = input.number();
    head.durable = Position{input.number()};
    head.payload_block = input.byte() % 8 == 0 ? input.byte() : cursor;
    const uint64_t blocks = head.payload_blocks();
    if (blocks <= 4 && cursor + blocks <= kSegmentBlocks)
      head.payload_hash = hash_payload(
          std::span(file).subspan(cursor * kBlockSize, blocks * kBlockSize));
    put(file, kBlockSize + (position - to_int(header.first)) % 64 * 64,
        encode(head, header.incarnation));
    cursor += blocks <= 4 ? static_cast<uint32_t>(blocks) : 0;
    ++position;
  }
}

Bytes make_segment(Input& input) {
  Bytes file(kSegmentBlocks * kBlockSize);
  SegmentHeader header{kSegmentBlocks,    input.number(),
                       input.byte() % 3U, Position{input.number()},
                       kFingerprint,      Position{input.number()}};
  if (input.byte() % 16 == 0)
    header.blocks = static_cast<uint32_t>(input.number());
  put(file, 0, encode(header));
  add_records(input, file, header);
  for (uint32_t n = input.byte() % 4; n > 0; --n)
    file[(input.number() * 64 + input.byte()) % file.size()] ^=
        std::byte{input.byte()};
  if (input.byte() % 16 == 0)
    file.resize(input.number() % file.size());
  return file;
}

void write_file(int dir, uint32_t number, const Bytes& bytes) {
  const Fd fd(::openat(dir, std::to_string(number).c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (::pwrite(fd.get(), bytes.data(), bytes.size(), 0) !=
      static_cast<ssize_t>(bytes.size()))
    std::abort();
}

// One directory for all inputs, in memory where there is such a place.
int directory() {
  static const Fd fd = [] {
    std::string path = std::filesystem::exists("/dev/shm")
                           ? "/dev/shm/ovl-fuzz-XXXXXX"
                           : "/tmp/ovl-fuzz-XXXXXX";
    return Fd(::open(::mkdtemp(path.data()), O_RDONLY | O_DIRECTORY));
  }();
  return fd.get();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const LogExpectation expected{kFingerprint, kDevice, Position{input.number()},
                                Position{input.number()}, input.number()};
  uint32_t files = 0;
  for (; files < 4 && !input.empty(); ++files)
    write_file(directory(), files, make_segment(input));
  const bool has_placed = size % 2 == 0;
  const auto log =
      read_log(directory(), expected,
               [&](const RecordHead&) -> Result<bool> { return has_placed; });
  for (uint32_t i = 0; i < files; ++i)
    ::unlinkat(directory(), std::to_string(i).c_str(), 0);
  if (!log)
    return 0;
  Position last = expected.folded;
  for (const FoundRecord& record : log->records) {
    const bool is_sound =
        record.head.position == next(last) &&
        record.segment < log->live.size() &&
        to_int(record.head.first) < kDevice &&
        record.head.count <= kDevice - to_int(record.head.first);
    if (!is_sound)
      std::abort();
    last = record.head.position;
  }
  if (log->last != last)
    std::abort();
  return 0;
}
