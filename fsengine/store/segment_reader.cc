// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/segment_reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <span>

#include "fsengine/base/read_at.h"

namespace ovl {
namespace {

constexpr size_t kScanBlocks = 256;

std::span<const std::byte, kRecordHeadBytes> head_in(
    std::span<const std::byte> block, size_t index) {
  return block.subspan(index * kRecordHeadBytes).first<kRecordHeadBytes>();
}

}  // namespace

Result<SegmentReader> SegmentReader::open(int directory, uint32_t number) {
  const std::string name = std::to_string(number);
  SegmentReader reader(
      number, Fd(::openat(directory, name.c_str(),
                          O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)));
  struct stat st {};
  if (!reader.fd_.is_open() || ::fstat(reader.fd_.get(), &st) != 0)
    return last_error(reader.path() + ": open");
  reader.file_size_ =
      S_ISREG(st.st_mode) ? static_cast<uint64_t>(st.st_size) : 0;
  std::array<std::byte, kSegmentHeaderBytes> bytes{};
  if (reader.file_size_ >= kBlockSize)
    OVL_TRY(read_at(reader.fd_.get(), 0, bytes).in(reader.path()));
  reader.header_state_ = decode_segment_header(bytes, reader.header_);
  reader.rewind();
  return reader;
}

void SegmentReader::rewind() {
  heads_used_ = kHeadsInBlock;
  cursor_ = 1;
  expected_ = header_.first;
}

Result<bool> SegmentReader::has_next_heads() {
  if (heads_used_ < kHeadsInBlock)
    return true;
  if (cursor_ >= blocks())
    return false;
  OVL_TRY(read_at(fd_.get(), cursor_ * kBlockSize, heads_).in(path()));
  heads_used_ = 0;
  ++cursor_;
  return true;
}

Result<bool> SegmentReader::has_payload(const RecordHead& head) {
  if (head.count == 0 || head.payload_block != cursor_)
    return false;
  if (head.kind == RecordKind::kZero)
    return true;
  if (head.count > kMaxRecordBlocks)
    return false;
  if (head.kind == RecordKind::kPlaced)
    return true;
  if (cursor_ + head.count > blocks())
    return false;
  payload_.resize(head.count * kBlockSize);
  OVL_TRY(read_at(fd_.get(), cursor_ * kBlockSize, payload_).in(path()));
  return hash_payload(payload_) == head.payload_hash;
}

Result<std::optional<RecordHead>> SegmentReader::next_record() {
  if (!OVL_TRY(has_next_heads()))
    return std::nullopt;
  const auto head =
      decode_record_head(head_in(heads_, heads_used_), header_.incarnation);
  if (!head || head->position != expected_ || !OVL_TRY(has_payload(*head)))
    return std::nullopt;
  ++heads_used_;
  cursor_ += head->payload_blocks();
  expected_ = next(expected_);
  return head;
}

// The walk is lost, so any block may be one of heads. What a guest wrote
// cannot pass for one: it does not know the incarnation.
Result<Position> SegmentReader::durable_behind(Position position,
                                               uint64_t incarnation) {
  Position durable{};
  std::vector<std::byte> bytes;
  for (uint64_t block = 1; block < blocks(); block += kScanBlocks) {
    bytes.resize(std::min<uint64_t>(kScanBlocks, blocks() - block) *
                 kBlockSize);
    OVL_TRY(read_at(fd_.get(), block * kBlockSize, bytes).in(path()));
    for (size_t i = 0; i < bytes.size() / kRecordHeadBytes; ++i) {
      const auto head = decode_record_head(head_in(bytes, i), incarnation);
      if (head && head->position > position)
        durable = std::max(durable, head->durable);
    }
  }
  return durable;
}

}  // namespace ovl
