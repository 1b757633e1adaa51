// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/replayed_tree.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <regex>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/support/host_manifest.h"
#include "tests/support/image_file.h"

namespace ovl {
namespace {

constexpr int kCorrected = 1;  // e2fsck: errors were there, and are no more
constexpr int kUncorrected = 4;
constexpr int kUnmountTries = 500;
constexpr useconds_t kBetweenTries = 10'000;

// Copies [from, end), which is data.
Status copy_range(int raw, int to, off_t from, off_t end) {
  if (::lseek(to, from, SEEK_SET) < 0)
    return last_error("seek");
  while (from < end) {
    const ssize_t done =
        ::sendfile(to, raw, &from, static_cast<size_t>(end - from));
    if (done <= 0)
      return last_error("copy");
  }
  return {};
}

Status copy_data(int raw, int to) {
  for (off_t at = 0;;) {
    const off_t data = ::lseek(raw, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
      return {};
    if (data < 0)
      return last_error("seek data");
    at = ::lseek(raw, data, SEEK_HOLE);
    OVL_TRY(copy_range(raw, to, data, at));
  }
}

Result<std::string> run_ok(const std::string& command, int most_status) {
  ProgramResult done = run_program(command);
  if (done.status >= 0 && done.status <= most_status)
    return std::move(done.output);
  return fail(EIO, command + ": exit status " + std::to_string(done.status) +
                       "\n" + done.output);
}

// The kernel lets go of a loop device a moment after the last reader.
Status unmount(const std::string& where) {
  for (int tries = 0; tries < kUnmountTries; ++tries) {
    if (::umount2(where.c_str(), 0) == 0)
      return {};
    ::usleep(kBetweenTries);
  }
  return last_error(where + ": unmount");
}

struct FreeLines {
  void operator()(char* text) const { std::free(text); }
};

}  // namespace

ReplayedTree::ReplayedTree(const std::string& directory)
    : image_(directory + "/image"), mount_(directory + "/mount") {
  ::mkdir(mount_.c_str(), 0755);
}

Result<std::vector<std::string>> ReplayedTree::read_replayed() const {
  std::string nameless = OVL_TRY(replay());
  auto lines = OVL_TRY(mount_and_read());
  lines.push_back(std::move(nameless));
  return lines;
}

Result<std::vector<std::string>> ReplayedTree::read_mended() const {
  OVL_TRY(run_ok("e2fsck -fy " + image_, kCorrected));
  return mount_and_read();
}

Result<bool> ReplayedTree::is_sound() const {
  const ProgramResult done = run_program("e2fsck -fn " + image_);
  if (done.status != 0 && (done.status & kUncorrected) == 0)
    return fail(EIO, fmt::format("e2fsck -fn: exit status {}\n{}", done.status,
                                 done.output));
  return done.status == 0;
}

Result<std::vector<std::string>> ReplayedTree::mount_and_read() const {
  OVL_TRY(run_ok("mount -o loop,ro " + image_ + " " + mount_, 0));
  auto seen = read_mounted();
  OVL_TRY(unmount(mount_));
  return seen;
}

Status ReplayedTree::copy(int raw) const {
  const Fd to(
      ::open(image_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  struct stat st {};
  if (!to.is_open() || ::fstat(raw, &st) != 0 ||
      ::ftruncate(to.get(), st.st_size) != 0)
    return last_error(image_ + ": create");
  return copy_data(raw, to.get());
}

// No more than the journal and the orphans, which e2fsck names: what it would
// mend besides is what the kernel, and the decoder, must cope with.
Result<std::string> ReplayedTree::replay() const {
  const std::string said =
      OVL_TRY(run_ok("e2fsck -E journal_only -fy " + image_, kCorrected));
  static const std::regex kOrphan("Clearing orphaned inode ([0-9]+)");
  std::vector<uint32_t> inodes;
  for (std::sregex_iterator at(said.begin(), said.end(), kOrphan), end;
       at != end; ++at)
    inodes.push_back(static_cast<uint32_t>(std::stoul((*at)[1])));
  return nameless_line(std::move(inodes));
}

Result<std::vector<std::string>> ReplayedTree::read_mounted() const {
  HostScan scan;
  scan.root = mount_;
  scan.exclude = {"lost+found"};
  scan.links_once = true;
  Manifest manifest = OVL_TRY(scan_host_tree(scan));
  return manifest_lines(std::move(manifest),
                        {.holes = true, .all_flags = true});
}

std::string nameless_line(std::vector<uint32_t> inodes) {
  std::ranges::sort(inodes);
  return fmt::format("nameless {}", fmt::join(inodes, ","));
}

Result<std::vector<std::string>> manifest_lines(Manifest manifest,
                                                const ManifestFormat& format) {
  char* text = nullptr;
  size_t length = 0;
  std::FILE* const out = ::open_memstream(&text, &length);
  const Status printed = manifest.print(out, format);
  std::fclose(out);
  const std::unique_ptr<char, FreeLines> owner(text);
  OVL_TRY(Status(printed));
  std::vector<std::string> lines;
  std::istringstream stream(std::string(text, length));
  for (std::string line; std::getline(stream, line);)
    lines.push_back(line);
  return lines;
}

}  // namespace ovl
