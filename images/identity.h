// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "images/hashed_directory.h"
#include "images/image.h"

namespace ovl {

/// What makes one file system differ from another of the same tree and size.
/// Derived from the lower tree, so that equal input gives equal bytes.
struct Identity {
  Uuid uuid{};
  HashSeed hash_seed{};
  uint32_t generation_seed = 0;
  std::string label;
};

/// The i_generation of inode `ino`; never 0.
uint32_t generation_of(const Identity& identity, Ino ino);

}  // namespace ovl
