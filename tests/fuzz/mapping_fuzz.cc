// SPDX-License-Identifier: BSD-3-Clause
//
// The mapping of an inode: the input is its 60 bytes, and what it writes into
// the blocks of a small device. Whatever comes of it, each block is followed
// once at most, and the runs are on the device, in order, and no two overlap.
#include <cstring>
#include <vector>

#include "images/decode/block_set.h"
#include "images/decode/mapping.h"
#include "images/decode/mapping_difference.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace ovl;  // NOLINT

constexpr uint64_t kBlocks = 48;
constexpr size_t kPointersAt = 40;
constexpr size_t kFlagsAt = 32;

class Device : public BlockSource {
 public:
  uint64_t size() const override { return bytes_.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    check(offset + out.size() <= bytes_.size());
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }
  void put(uint64_t offset, std::string_view bytes) {
    if (offset + bytes.size() <= bytes_.size())
      std::memcpy(bytes_.data() + offset, bytes.data(), bytes.size());
  }

 private:
  std::vector<std::byte> bytes_ = std::vector<std::byte>(kBlocks * kBlockSize);
};

// The header of a node of extents, with a magic number that is right.
std::string node_head(FuzzInput& input) {
  std::string head = "\x0a\xf3";
  head += static_cast<char>(input.byte() % 8);
  head += '\0';
  head += static_cast<char>(input.byte());
  head += '\0';
  head += static_cast<char>(input.byte() % 8);
  head += std::string(5, '\0');
  return head;
}

void fill(FuzzInput& input, Device& device) {
  while (!input.empty()) {
    const uint64_t block = input.byte() % kBlocks * kBlockSize;
    if (input.byte() % 2 == 0)
      device.put(block, node_head(input));
    else
      device.put(block + input.byte() * 4, input.bytes(1 + input.byte() % 16));
  }
}

ExtInode make_inode(FuzzInput& input) {
  ExtInode::Bytes bytes{};
  bytes[1] = std::byte{0x80};  // a regular file
  const uint8_t how = input.byte();
  if (how % 4 != 0)
    bytes[kFlagsAt + 2] = std::byte{8};  // extents
  const std::string pointers = input.bytes(60);
  std::memcpy(bytes.data() + kPointersAt, pointers.data(), 60);
  if (how % 4 > 1)
    std::memcpy(bytes.data() + kPointersAt, node_head(input).data(), 12);
  return ExtInode(bytes);
}

void check_runs(const Mapping& mapping) {
  BlockSet blocks;
  uint64_t end = 0;
  bool is_map = false;
  for (const MapRun& run : mapping) {
    check(run.count > 0 && run.device > 0);
    check(uint64_t{run.device} + run.count <= kBlocks);
    check(blocks.add(run.block(), run.count));
    check(!is_map || run.kind == RunKind::kMap);
    is_map = run.kind == RunKind::kMap;
    check(is_map || run.file_block >= end);
    end = uint64_t{run.file_block} + run.count;
    if (run.kind == RunKind::kData)
      check(data_block(mapping, end - 1) ==
            BlockNo{uint64_t{run.device} + run.count - 1});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  const ExtInode inode = make_inode(input);
  Device device;
  fill(input, device);
  BlockSet claims;
  const auto mapping = read_mapping(
      device, inode, [&claims](BlockNo first, uint64_t count) -> Status {
        check(to_int(first) + count <= kBlocks);
        if (!claims.add(first, count))
          return fail(EUCLEAN, "twice");
        return {};
      });
  if (!mapping)
    return 0;
  check_runs(*mapping);
  uint64_t blocks = 0;
  compare_mappings({}, *mapping, [&blocks](const MappingDifference& each) {
    check(!each.before && each.now);
    blocks += each.count;
  });
  check(blocks <= kBlocks);
  compare_mappings(*mapping, *mapping,
                   [](const MappingDifference&) { check(false); });
  return 0;
}
