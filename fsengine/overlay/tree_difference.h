// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "fsengine/base/block_source.h"
#include "fsengine/base/result.h"
#include "fsengine/base/tree.h"
#include "fsengine/overlay/owner_policy.h"

namespace ovl {

using ContentOf = std::function<Result<std::unique_ptr<BlockSource>>(NodeId)>;

/// The path of an object in which two trees of one pool are not alike: in
/// names, types, attributes that upper can carry under `owner`, hard links or
/// bytes. Nothing when they are. Reads all files that are not the same node.
Result<std::optional<std::string>> find_tree_difference(
    const Tree& guest, const Tree& now, OwnerPolicy owner,
    const ContentOf& content);

}  // namespace ovl
