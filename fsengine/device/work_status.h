// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/store/mark.h"

namespace ovl {

/// How a device stands, as its workdir tells. A server may be at work there,
/// and is not disturbed: what is told was so a moment ago.
struct WorkStatus {
  pid_t server = 0;  // that uses it; 0: none that can be seen
  MarkState mark;
  uint64_t log_bytes = 0;    // on the host's disk
  uint64_t store_bytes = 0;  // on the host's disk
  uint64_t absent = 0;       // objects that upper cannot have
  std::string trouble;       // why changes are held back; or empty
};

/// Nothing when nothing was written. Errors name the workdir.
Result<std::optional<WorkStatus>> read_work_status(Os& os,
                                                   const std::string& work);

}  // namespace ovl
