// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "fsengine/device/copies_ahead.h"
#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/owner_policy.h"
#include "fsengine/overlay/unrepresentable.h"
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
  Unrepresentable::Policy unrepresentable = Unrepresentable::Policy::kRecord;
  /// How often upper is brought up to date while a guest is at work; nothing:
  /// only at the end.
  std::optional<std::chrono::milliseconds> checkpoint = std::chrono::seconds(5);
  /// What was acknowledged as durable is in upper, too.
  bool sync_checkpoints = false;
  /// Reads the whole tree at the end, compares it with upper, and reports and
  /// mends a difference: for tests.
  bool check_upper = false;
  bool relayout = false;  // give up a layout that is kept, when settled
  CopyRules copies;
  Report report;
  DiskOptions disk;  // its report is this one's
};

}  // namespace ovl
