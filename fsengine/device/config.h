// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/owner_policy.h"
#include "fsengine/store/disk.h"
#include "images/image.h"

namespace ovl {

/// What the user asked for; nothing means the default that README names.
/// Paths are absolute.
struct DeviceConfig {
  std::vector<std::string> lowers;     // first is topmost
  std::vector<std::string> data_only;  // reached by metacopy redirects only
  std::optional<std::string> upper;
  std::optional<std::string> work;
  FsType type = FsType::kExt2;
  std::optional<SizeRequest> size;
  std::string label;
  std::optional<Uuid> uuid;
  std::optional<bool> journal;
  std::optional<bool> redirect_dir;
  std::optional<bool> userxattr;
  OwnerPolicy owner = OwnerPolicy::kKeep;
  bool relayout = false;  // give up a layout that is kept, when settled
  Report report;
  DiskOptions disk;  // its report is this one's
};

}  // namespace ovl
