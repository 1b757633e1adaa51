// SPDX-License-Identifier: BSD-3-Clause
//
// Extended attributes of an inode and of a block: the input is a list of
// entries and values, and of damage to them. What is accepted is no larger
// than the place it came from, so that it cannot be blown up.
#include <cstring>
#include <vector>

#include "fsengine/base/units.h"
#include "images/ext_xattr_reader.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace ovl;  // NOLINT

constexpr uint32_t kMagic = 0xea020000;
constexpr size_t kBlockHead = 32;

template <typename T>
void put(std::vector<std::byte>& area, size_t at, T value) {
  if (at + sizeof value <= area.size())
    std::memcpy(area.data() + at, &value, sizeof value);
}

// Entries from `first` on, their values from the end; offsets are from `zero`.
void fill(FuzzInput& input, std::vector<std::byte>& area, size_t first,
          size_t zero) {
  size_t end = area.size();
  for (uint8_t left = input.byte() % 12; left > 0; --left) {
    const std::string name = input.bytes(input.byte() % 12);
    const size_t value = input.byte();
    if (first + 16 + name.size() + value + 8 > end)
      break;
    end -= (value + 3) / 4 * 4;
    put(area, first, static_cast<uint8_t>(name.size()));
    put(area, first + 1, static_cast<uint8_t>(input.byte() % 9));
    put(area, first + 2, static_cast<uint16_t>(end - zero));
    put(area, first + 8, static_cast<uint32_t>(value));
    std::memcpy(area.data() + first + 16, name.data(), name.size());
    const std::string bytes = input.bytes(std::min<size_t>(value, 44));
    std::memcpy(area.data() + end, bytes.data(), bytes.size());
    first += (16 + name.size() + 3) / 4 * 4;
  }
  for (uint8_t left = input.byte() % 5; left > 0; --left)
    area[input.word(2) % area.size()] = std::byte{input.byte()};
}

// A name gets a prefix of at most 24 bytes, an ACL entry grows from 4 to 8.
void check_set(const XattrSet& set, size_t area) {
  size_t names = 0;
  size_t values = 0;
  for (const Xattr& xattr : set) {
    check(!xattr.name.empty() && xattr.name.find('\0') == std::string::npos);
    names += xattr.name.size();
    values += xattr.value.size();
  }
  check(set.size() <= area / 16);
  check(names <= area + 24 * set.size());
  check(values <= 2 * area + 8 * set.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  std::vector<std::byte> inode(input.byte() % 33 * 4);
  put(inode, 0, kMagic);
  if (inode.size() > 4)
    fill(input, inode, 4, 4);
  std::vector<std::byte> block(kBlockSize);
  put(block, 0, kMagic);
  put(block, 4, uint32_t{1});
  put(block, 8, uint32_t{1});
  fill(input, block, kBlockHead, 0);
  XattrSet of_inode;
  XattrSet of_block;
  if (read_inode_xattrs(inode, of_inode))
    check_set(of_inode, inode.size());
  if (xattr_block_users(block) && read_block_xattrs(block, of_block))
    check_set(of_block, block.size());
  of_inode.insert(of_inode.end(), of_block.begin(), of_block.end());
  sort_xattrs(of_inode);
  return 0;
}
