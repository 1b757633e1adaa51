// SPDX-License-Identifier: BSD-3-Clause
//
// The manifest of a directory as the host's VFS shows it: a kernel mount of
// the device, an overlay mount, a plain directory.
#pragma once

#include <string>
#include <vector>

#include "fsengine/base/result.h"
#include "tests/support/manifest.h"

namespace ovl {

struct HostScan {
  std::string root;
  bool one_file_system = false;      // true: mount points are left out
  std::vector<std::string> exclude;  // paths beneath root, with all below
  bool content = true;               // false: regular files are not read
  bool links_once = false;  // true: an object is read by one of its names only
};

/// Reads the tree, content on two threads. What readdir lists and stat does
/// not find is left out: the kernel's overlay lists some whiteouts. Any other
/// failure is an error.
Result<Manifest> scan_host_tree(const HostScan& scan);

}  // namespace ovl
