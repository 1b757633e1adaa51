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

/// Calls `visit(old, now)` for each name of either, in order; without the name
/// one of the two is a null pointer.
template <typename Visit>
void walk_both(const PackedNames& before, const PackedNames& after,
               Visit visit) {
  auto old_name = before.begin();
  auto new_name = after.begin();
  while (!old_name.at_end() || !new_name.at_end()) {
    const DirName was = old_name.at_end() ? DirName{} : *old_name;
    const DirName is = new_name.at_end() ? DirName{} : *new_name;
    const bool has_old =
        !old_name.at_end() && (new_name.at_end() || was.name <= is.name);
    const bool has_new =
        !new_name.at_end() && (old_name.at_end() || is.name <= was.name);
    visit(has_old ? &was : nullptr, has_new ? &is : nullptr);
    if (has_old)
      ++old_name;
    if (has_new)
      ++new_name;
  }
}

}  // namespace ovl
