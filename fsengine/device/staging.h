// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/publish_plan.h"

namespace ovl {

/// The two names in workdir/ovl that a write-back works with: `staging` and
/// `plan` (FORMAT.md). `state_dir` is workdir/ovl. Errors name the path
/// beneath workdir.
Result<Fd> open_staging(Os& os, int state_dir);  // made, durably, if missing
bool has_staging(int state_dir);
Status remove_staging(Os& os, int state_dir);  // with all in it, if any

/// Durable but for the name, which the next sync of `state_dir` covers.
Status write_plan(Os& os, int state_dir, const PublishPlan& plan);
Result<PublishPlan> read_plan(int state_dir);
Status remove_plan(Os& os, int state_dir);  // no error when there is none

}  // namespace ovl
