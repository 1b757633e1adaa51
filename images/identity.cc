// SPDX-License-Identifier: BSD-3-Clause
#include "images/identity.h"

#include <xxhash.h>

namespace ovl {

uint32_t generation_of(const Identity& identity, Ino ino) {
  const uint32_t number = to_int(ino);
  const auto hash = static_cast<uint32_t>(
      XXH3_64bits_withSeed(&number, sizeof number, identity.generation_seed));
  return hash != 0 ? hash : 1;
}

}  // namespace ovl
