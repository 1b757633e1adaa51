// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>

#include "fsengine/base/result.h"
#include "fsengine/overlay/upper_plan.h"
#include "fsengine/overlay/upper_target.h"

namespace ovl {

/// Brings upper to what `plan` wants: everything new is made in staging first
/// and synced; then `before_publish` is called, and names change by rename
/// and exchange only, additions before what hides or removes; then times; then
/// a sync. Until before_publish returned, an error leaves upper as it was,
/// and staging to be emptied with empty_directory.
Status write_upper(const UpperTarget& target, const UpperPlan& plan,
                   const std::function<Status()>& before_publish);

}  // namespace ovl
