// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace ovl {

/// What becomes of the guest's owners in upper: kept, which needs privilege,
/// or left at whoever runs the server.
enum class OwnerPolicy { kKeep, kSquash };

}  // namespace ovl
