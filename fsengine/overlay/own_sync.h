// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/publish_plan.h"

namespace ovl {

/// Both make durable what is ours, and, when it is little, no more: syncfs(2)
/// waits for what everybody wrote to the file system, and tells their errors.
/// After an error nothing is known to be durable: write it again first.

/// All in `staging`, and its names.
Status sync_staged(Os& os, int staging);

/// What the steps of `plan`, carried out, did to upper and staging.
Status sync_published(Os& os, int upper, int staging, const PublishPlan& plan);

}  // namespace ovl
