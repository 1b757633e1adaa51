// SPDX-License-Identifier: BSD-3-Clause
//
// The directories that a device works in, opened and checked before anything
// is created: they exist, upper and work are on one mount, and no layer lies
// in another as overlayfs forbids it.
#pragma once

#include <sys/types.h>

#include <string>

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/device/config.h"

namespace ovl {

/// Every check that needs no scan. Errors name the parameter and the path.
Status check_layers(const DeviceConfig& config);

/// upperdir and workdir of a writable device, both locked against a second
/// server for as long as this lives (fork included).
class Places {
 public:
  /// REQUIRES: check_layers passed; config.upper and config.work are set.
  static Result<Places> open(const DeviceConfig& config);

  /// workdir at `path`, locked against every server for as long as the Fd is
  /// open. EBUSY when one is at work there.
  static Result<Fd> lock_work(const std::string& path);

  /// The server that is at work in workdir, open as `work`, which is only
  /// looked at: 0 when there is none, or /proc/locks does not show it.
  static Result<pid_t> holder_of(int work);
  /// Makes this process the one that is told of, after a fork: a lock on
  /// workdir/ovl, which keeps nobody out.
  static void tell_server(int state_dir);

  /// Makes this process the one that others are told of as using upperdir,
  /// after a fork.
  Status own_lock() const;

  int upper() const { return upper_.get(); }
  int work() const { return work_.get(); }

  /// workdir/ovl, or an Fd that is not open when it does not exist.
  Result<Fd> state_dir() const;
  /// The same, made when missing.
  Result<Fd> ensure_state_dir(Os& os) const;

 private:
  Fd upper_;
  Fd work_;
};

}  // namespace ovl
