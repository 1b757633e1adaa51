// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

#include "fsengine/base/change.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/publish_plan.h"

namespace ovl {

/// Room for steps on a host whose disk is nearly full. The essay is in the .cc.

/// Bytes that `content` takes where the file at `path` beneath `upper` has
/// none; at most.
Result<uint64_t> room_of_patch(int upper, const std::string& path,
                               const ContentChange& content);

/// Takes so many bytes, for steps to come; nothing where the host cannot.
Status take_room(Os& os, int staging, uint64_t bytes);
/// No error when there is none.
Status give_up_room(Os& os, int staging);

/// Removes from staging what the steps of `plan.names`, all carried out, took
/// out of upper.
Status remove_taken_out(Os& os, int upper, int staging,
                        const PublishPlan& plan);

}  // namespace ovl
