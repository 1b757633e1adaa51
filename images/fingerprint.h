// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "images/geometry.h"
#include "images/identity.h"
#include "images/image.h"
#include "images/layout.h"

namespace ovl {

/// Hashes of a layout: `lower` of all that the lower tree shows, wherever it
/// is kept; `all` of both parts and of the host objects behind them.
struct LayoutDigest {
  std::array<uint64_t, 2> lower{};
  std::array<uint64_t, 2> all{};
};
LayoutDigest digest_layout(const Layout& layout);

/// What `options` leave open is derived from the lower tree.
Identity make_identity(const LayoutDigest& digest, const HashSeed& hash_seed,
                       const ImageOptions& options);

uint64_t fingerprint_of(const LayoutDigest& digest, const Geometry& geometry,
                        const Identity& identity, bool journal);

}  // namespace ovl
