// SPDX-License-Identifier: BSD-3-Clause
//
// Decodes what a guest left in a workdir, times that alone, and prints: objects
// changed, seconds of the processor, and bytes of memory of the catalog.
#include <cstdio>
#include <ctime>

#include "fsengine/device/pending.h"

static double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

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
  const double start = processor_seconds();
  const auto changes = (*pending)->decode();
  const double took = processor_seconds() - start;
  if (!changes) {
    std::fprintf(stderr, "%s\n", changes.error().what().c_str());
    return 1;
  }
  std::printf("%zu %.4f %llu\n", changes->objects.size(), took,
              static_cast<unsigned long long>(
                  (*pending)->decoder().catalog().memory_bytes()));
  return 0;
}
