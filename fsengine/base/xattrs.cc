// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/xattrs.h"

#include <algorithm>

#include <xxhash.h>

namespace ovl {

uint64_t XattrSetHash::operator()(const XattrSet& set) const {
  uint64_t hash = set.size();
  for (const Xattr& xattr : set) {
    hash = XXH3_64bits_withSeed(xattr.name.data(), xattr.name.size(), hash);
    hash = XXH3_64bits_withSeed(xattr.value.data(), xattr.value.size(), hash);
  }
  return hash;
}

const std::string* find_xattr(const XattrSet& set, std::string_view name) {
  const auto at = std::ranges::find(set, name, &Xattr::name);
  return at == set.end() ? nullptr : &at->value;
}

}  // namespace ovl
