// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/host_op.h"
#include "tests/support/host_tree.h"

namespace ovl {

/// What a loss of power takes of what no sync has made durable.
enum class Loss {
  kNothing,   // the host had written all of it
  kAll,       // it had written nothing
  kBytes,     // names and attributes are there, no byte of a file
  kJournal,   // they are up to some moment, of bytes any
  kAnyOrder,  // each directory and each inode is as at a moment of its own
};

/// For each operation, whether a sync behind it has made it durable.
std::vector<bool> find_durable(std::span<const HostOp> ops);

/// What is on disk when power is lost behind `ops`, which `before` preceded.
HostTree tree_after_loss(const HostTree& before, std::span<const HostOp> ops,
                         Loss loss, uint64_t seed);

}  // namespace ovl
