// SPDX-License-Identifier: BSD-3-Clause
//
// A block of a directory: the input is a list of entries, whose lengths it may
// choose, and of damage to them. What is accepted are names that a kernel
// could list, and packing keeps them.
#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "images/decode/packed_names.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace ovl;  // NOLINT

class Writer {
 public:
  explicit Writer(FuzzInput& input) : input_(input) {}

  const DirBlockBytes& write(bool is_first) {
    if (is_first)
      entry(input_.byte() % 16 == 0 ? "x" : ".");
    if (is_first)
      entry(input_.byte() % 16 == 0 ? "x" : "..");
    for (uint8_t left = input_.byte() % 24; left > 0; --left)
      entry(input_.bytes(input_.byte() % 40));
    if (at_ > last_)
      put16(last_ + 4, static_cast<uint16_t>(kBlockSize - last_));
    for (uint8_t left = input_.byte() % 4; left > 0; --left)
      block_[input_.word(2) % kBlockSize] = std::byte{input_.byte()};
    return block_;
  }

 private:
  void entry(const std::string& name) {
    const size_t length = (8 + name.size() + 3) / 4 * 4;
    if (at_ + length > kBlockSize)
      return;
    last_ = at_;
    block_[at_] = std::byte{input_.byte()};
    put16(at_ + 4, static_cast<uint16_t>(
                       input_.byte() % 32 == 0 ? input_.word(2) : length));
    block_[at_ + 6] = static_cast<std::byte>(name.size());
    block_[at_ + 7] = std::byte{input_.byte()};
    std::memcpy(block_.data() + at_ + 8, name.data(), name.size());
    at_ += length;
  }
  void put16(size_t at, uint16_t value) {
    std::memcpy(block_.data() + at, &value, sizeof value);
  }

  FuzzInput& input_;
  DirBlockBytes block_{};
  size_t at_ = 0;
  size_t last_ = 0;
};

void check_name(const DirName& name) {
  check(to_int(name.ino) != 0);
  check(!name.name.empty() && name.name.size() <= 255);
  check(name.name != "." && name.name != "..");
  check(name.name.find('/') == name.name.npos);
  check(name.name.find('\0') == name.name.npos);
}

void check_packed(const PackedNames& packed, size_t count) {
  std::optional<std::string_view> before;
  for (auto at = packed.begin(); !at.at_end(); ++at, --count) {
    check(!before || *before < (*at).name);
    before = (*at).name;
  }
  check(count == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  // The names as a file has them: any bytes.
  const auto read =
      PackedNames::from_bytes({reinterpret_cast<const char*>(data), size});
  if (read)
    check(PackedNames::from_bytes(read->bytes()).has_value());
  const bool is_first = input.byte() % 2 == 0;
  Writer writer(input);
  const auto content = parse_dir_block(writer.write(is_first), is_first);
  if (!content)
    return 0;
  std::ranges::for_each(content->names, check_name);
  const auto packed = PackedNames::pack(content->names);
  if (!packed)
    return 0;
  check_packed(*packed, content->names.size());
  const auto back = PackedNames::from_bytes(packed->bytes());
  check(back && back->bytes() == packed->bytes());
  return 0;
}
