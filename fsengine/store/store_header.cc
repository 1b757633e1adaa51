// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/store_header.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include <fmt/format.h>

namespace ovl {
namespace {

const char* const kName = "state";
const char* const kNewName = "state.new";
constexpr size_t kMaxBytes = 512;

std::string format_header(const StoreHeader& header) {
  return fmt::format(
      "ovl-store 1\nsize {}\nfingerprint {:016x}\nphase {}\n", header.base.size,
      header.base.fingerprint,
      header.phase == BlockStore::Phase::kWriting ? "writing" : "publishing");
}

// Strict: what does not print back to the same text is not understood.
Result<StoreHeader> parse_header(const std::string& text) {
  StoreHeader header;
  char phase[16] = "";
  if (std::sscanf(text.c_str(),
                  "ovl-store 1\nsize %" SCNu64 "\nfingerprint %" SCNx64
                  "\nphase %15s\n",
                  &header.base.size, &header.base.fingerprint, phase) == 3 &&
      std::string_view(phase) == "publishing")
    header.phase = BlockStore::Phase::kPublishing;
  if (format_header(header) != text)
    return fail(EPROTO, "state: of an unknown version or form");
  return header;
}

Status write_new(Os& os, int directory, const std::string& text) {
  const Fd fd = OVL_TRY(
      os.open_file({directory, kNewName}, O_WRONLY | O_CREAT | O_TRUNC, 0600)
          .in(kNewName));
  OVL_TRY(os.pwrite(fd.get(), std::as_bytes(std::span(text)), 0).in(kNewName));
  return os.fdatasync(fd.get()).in(kNewName);
}

}  // namespace

Result<StoreHeader> read_store_header(int directory) {
  const Fd fd(::openat(directory, kName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.is_open())
    return last_error(std::string(kName) + ": open");
  std::string text(kMaxBytes, '\0');
  const ssize_t n = ::read(fd.get(), text.data(), text.size());
  if (n < 0)
    return last_error(std::string(kName) + ": read");
  text.resize(static_cast<size_t>(n));
  return parse_header(text);
}

Status write_store_header(Os& os, int directory, const StoreHeader& header) {
  OVL_TRY(write_new(os, directory, format_header(header)));
  OVL_TRY(os.rename({directory, kNewName}, {directory, kName}, Rename::kReplace)
              .in(kName));
  return os.fsync(directory).in("state: fsync");
}

Status remove_store_header(Os& os, int directory) {
  auto status = os.unlink({directory, kName});
  if (!status && status.error().code() == ENOENT)
    return {};
  OVL_TRY(std::move(status).in(kName));
  return os.fsync(directory).in("state: fsync");
}

}  // namespace ovl
