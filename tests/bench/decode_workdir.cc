// SPDX-License-Identifier: BSD-3-Clause
//
// Decodes what a guest left in a workdir, times that alone, and prints: objects
// changed, seconds, and bytes of memory of the catalog.
#include <chrono>
#include <cstdio>

#include "fsengine/device/pending.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: decode_workdir WORKDIR\n");
    return 2;
  }
  auto pending = ovl::PendingChanges::open(ovl::host_os(), argv[1]);
  if (!pending) {
    std::fprintf(stderr, "%s\n", pending.error().what().c_str());
    return 1;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto changes = (*pending)->decode();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  if (!changes) {
    std::fprintf(stderr, "%s\n", changes.error().what().c_str());
    return 1;
  }
  std::printf("%zu %.4f %llu\n", changes->objects.size(), took.count(),
              static_cast<unsigned long long>(
                  (*pending)->decoder().catalog().memory_bytes()));
  return 0;
}
