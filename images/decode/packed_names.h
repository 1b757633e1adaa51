// SPDX-License-Identifier: BSD-3-Clause
//
// The names in one block of a directory, sorted, in one string: of each its
// inode number in 4 bytes, its type in 1, its length in 1, and its bytes.
#pragma once

#include <string>
#include <string_view>

#include "images/ext_dir_block.h"

namespace ovl {

class PackedNames {
 public:
  PackedNames() = default;
  /// EUCLEAN when a name is there twice.
  static Result<PackedNames> pack(std::vector<DirName> names);
  /// From bytes() of another one. EUCLEAN when they are none.
  static Result<PackedNames> from_bytes(std::string bytes);

  const std::string& bytes() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }

  class Iterator {
   public:
    explicit Iterator(std::string_view rest) : rest_(rest) {}
    bool at_end() const { return rest_.empty(); }
    DirName operator*() const;
    Iterator& operator++();

   private:
    std::string_view rest_;
  };
  Iterator begin() const { return Iterator(bytes_); }

 private:
  std::string bytes_;
};

}  // namespace ovl
