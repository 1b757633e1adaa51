// SPDX-License-Identifier: BSD-3-Clause
//
// What keeps others off an upper that does not show the device yet: an entry
// in workdir/work/incompat, for which the kernel refuses to mount an overlay
// with this workdir, and an attribute on upper's root, by which we refuse it as
// another device's upper or lower.
#pragma once

#include <string>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/xattr_family.h"

namespace ovl {

/// Name of our entry in workdir/work/incompat.
inline constexpr const char* kUnsettledEntry = "ovl";

struct UnsettledPlaces {
  int upper;
  int work;
  XattrFamily family;
};

/// Durable when it returns; no error when it was done before.
Status set_unsettled(Os& os, const UnsettledPlaces& places);
/// The other way round; of workdir/work stays what others have in it.
Status clear_unsettled(Os& os, const UnsettledPlaces& places);

/// EBUSY for an open directory that has the attribute; `what` is
/// `PARAMETER: PATH`.
Status refuse_unsettled(int directory, const std::string& what);

}  // namespace ovl
