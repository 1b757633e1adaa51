// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace ovl {

/// Tells the kernel, once a thread, that other processes' writes may wait for
/// this thread's: it is not held back for the dirty pages of a file system
/// that is mounted on our own device, or both would wait for ever. Needs
/// CAP_SYS_RESOURCE; without it nothing happens.
void become_io_flusher();

}  // namespace ovl
