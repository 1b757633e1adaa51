// SPDX-License-Identifier: BSD-3-Clause
//
// How long a disk takes to open with a live log of a given size: makes one in
// DIR, and prints a line for each opening. The host's cache is warm, as it is
// when nbdkit is started again.
#include <fcntl.h>

#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "fsengine/store/disk.h"

namespace ovl {
namespace {

constexpr uint64_t kDeviceBytes = uint64_t{8} << 30;
constexpr uint64_t kFingerprint = 1;

// Its blocks are no zeros to the disk, so what is written there is kept.
class Blank : public BlockSource {
 public:
  uint64_t size() const override { return kDeviceBytes; }
  Status read(uint64_t /*offset*/, std::span<std::byte> out) const override {
    std::ranges::fill(out, std::byte{0});
    return {};
  }
};

struct Shape {
  uint64_t bytes = 0;
  uint64_t record_bytes = 0;
  int openings = 0;
  bool is_synced = true;
};

DiskOptions options(const Shape& shape) {
  DiskOptions options;
  options.log_bytes = 4 * shape.bytes;
  return options;
}

// Random places. Synced often, all of it goes to the log; never synced, most of
// it goes to its place, and has to be looked at there.
Status fill(Disk& disk, const Shape& shape) {
  std::mt19937_64 random(shape.record_bytes);
  std::vector<std::byte> bytes(shape.record_bytes);
  constexpr uint64_t kSyncedBytes = 1 << 19;
  uint64_t unsynced = 0;
  for (uint64_t done = 0; done < shape.bytes; done += bytes.size()) {
    for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t))
      bytes[i] = static_cast<std::byte>(random());
    const uint64_t at = random() % (kDeviceBytes / bytes.size()) * bytes.size();
    OVL_TRY(disk.write(at, bytes, Durability::kLazy));
    unsynced += bytes.size();
    if (!shape.is_synced || unsynced < kSyncedBytes)
      continue;
    OVL_TRY(disk.flush());
    unsynced = 0;
  }
  return {};
}

Status measure(int directory, const Shape& shape) {
  const Blank base;
  {
    const auto disk = OVL_TRY(
        Disk::create(host_os(), directory, base, kFingerprint, options(shape)));
    OVL_TRY(fill(*disk, shape));
  }
  for (int i = 0; i < shape.openings; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto disk = OVL_TRY(
        Disk::open(host_os(), directory, base, kFingerprint, options(shape)));
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    std::printf("%.3f s, %llu MiB of log, %llu records\n", took.count(),
                static_cast<unsigned long long>(disk->live_log_bytes() >> 20),
                static_cast<unsigned long long>(to_int(disk->last())));
  }
  return {};
}

int run(const std::string& directory, const Shape& shape) {
  const Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Status status = measure(fd.get(), shape);
  if (!status)
    std::fprintf(stderr, "%s\n", status.error().what().c_str());
  return status ? 0 : 1;
}

}  // namespace
}  // namespace ovl

int main(int argc, char** argv) {
  CLI::App app("The time that opening a disk with a live log takes");
  std::string directory;
  uint64_t mib = 1024;
  uint64_t record_kib = 4;
  ovl::Shape shape{.openings = 3};
  app.add_option("--dir", directory, "An empty directory")->required();
  app.add_option("--mib", mib, "What is written");
  app.add_option("--record-kib", record_kib, "Size of a record");
  app.add_option("--openings", shape.openings, "How often it is opened");
  app.add_flag("!--never-synced", shape.is_synced, "As after a kill in a copy");
  CLI11_PARSE(app, argc, argv);
  shape.bytes = mib << 20;
  shape.record_bytes = record_kib << 10;
  return ovl::run(directory, shape);
}
