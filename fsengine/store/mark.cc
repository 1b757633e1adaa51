// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/store/mark.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>

#include <xxhash.h>

#include "fsengine/base/little_endian.h"
#include "fsengine/base/read_at.h"

namespace ovl {
namespace {

const char* const kName = "mark";
const char* const kNewName = "mark.new";
constexpr char kMagic[8] = {'O', 'V', 'L', 'M', 'A', 'R', 'K', 0};
constexpr uint32_t kVersion = 1;
constexpr size_t kHashedBytes = 88;
constexpr size_t kSlotBytes = 4096;
constexpr size_t kFileBytes = 2 * kSlotBytes;

using Slot = std::array<std::byte, kSlotBytes>;

struct Numbered {
  uint64_t number = 0;
  MarkState state;
};

Slot encode_slot(const Numbered& mark) {
  Slot slot{};
  const std::span<std::byte> bytes(slot);
  const MarkState& state = mark.state;
  std::memcpy(slot.data(), kMagic, sizeof(kMagic));
  store_le(bytes, 8, kVersion);
  store_le(bytes, 12, state.phase);
  store_le(bytes, 16, mark.number);
  store_le(bytes, 24, state.base.size);
  store_le(bytes, 32, state.base.fingerprint);
  store_le(bytes, 40, state.folded);
  store_le(bytes, 48, state.opened_sequence);
  store_le(bytes, 56, state.applied);
  store_le(bytes, 64, state.applied_transaction);
  store_le<uint32_t>(bytes, 68, state.is_doubtful ? 1 : 0);
  store_le(bytes, 72, state.catalog);
  store_le(bytes, 80, state.durable);
  store_le<uint64_t>(bytes, kHashedBytes, XXH64(slot.data(), kHashedBytes, 0));
  return slot;
}

MarkState decode_state(std::span<const std::byte> bytes) {
  MarkState state;
  state.phase = load_le<Phase>(bytes, 12);
  state.base.size = load_le<uint64_t>(bytes, 24);
  state.base.fingerprint = load_le<uint64_t>(bytes, 32);
  state.folded = load_le<Position>(bytes, 40);
  state.opened_sequence = load_le<uint64_t>(bytes, 48);
  state.applied = load_le<Position>(bytes, 56);
  state.applied_transaction = load_le<uint32_t>(bytes, 64);
  state.is_doubtful = (load_le<uint32_t>(bytes, 68) & 1) != 0;
  state.catalog = load_le<uint64_t>(bytes, 72);
  state.durable = load_le<Position>(bytes, 80);
  return state;
}

// Nothing for a slot that is torn, or was never written.
Result<std::optional<Numbered>> decode_slot(std::span<const std::byte> bytes) {
  if (std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0 ||
      load_le<uint64_t>(bytes, kHashedBytes) !=
          XXH64(bytes.data(), kHashedBytes, 0))
    return std::nullopt;
  const Numbered mark{load_le<uint64_t>(bytes, 16), decode_state(bytes)};
  const Phase phase = mark.state.phase;
  const bool known = phase == Phase::kWriting || phase == Phase::kPublishing ||
                     phase == Phase::kSettled || phase == Phase::kCheckpointing;
  if (load_le<uint32_t>(bytes, 8) != kVersion || !known)
    return fail(EPROTO, "mark: of an unknown version");
  return mark;
}

Result<Numbered> read_mark(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0)
    return last_error("mark: fstat");
  std::array<std::byte, kFileBytes> bytes{};
  const auto size =
      std::min<size_t>(kFileBytes, static_cast<size_t>(st.st_size));
  OVL_TRY(read_at(fd, 0, std::span(bytes).first(size)).in(kName));
  std::optional<Numbered> best;
  for (size_t at = 0; at < kFileBytes; at += kSlotBytes) {
    const auto found =
        OVL_TRY(decode_slot(std::span(bytes).subspan(at, kSlotBytes)));
    if (found && (!best || found->number > best->number))
      best = found;
  }
  if (!best)
    return fail(EUCLEAN, "mark: damaged");
  return *best;
}

}  // namespace

Result<std::unique_ptr<Mark>> Mark::open(Os& os, int directory) {
  // O_CREAT is not there, so this changes nothing.
  Fd fd = OVL_TRY(os.open_file({directory, kName}, O_RDWR, 0).in(kName));
  const Numbered found = OVL_TRY(read_mark(fd.get()));
  std::unique_ptr<Mark> mark(new Mark(os, std::move(fd)));
  mark->state_ = found.state;
  mark->number_ = found.number;
  return mark;
}

Result<std::unique_ptr<Mark>> Mark::create(Os& os, int directory,
                                           const MarkState& state) {
  Fd fd = OVL_TRY(
      os.open_file({directory, kNewName}, O_RDWR | O_CREAT | O_TRUNC, 0600)
          .in(kNewName));
  OVL_TRY(os.ftruncate(fd.get(), kFileBytes).in(kNewName));
  std::unique_ptr<Mark> mark(new Mark(os, std::move(fd)));
  OVL_TRY(mark->set(state));
  OVL_TRY(os.rename({directory, kNewName}, {directory, kName}, Rename::kReplace)
              .in(kName));
  OVL_TRY(os.fsync(directory).in("mark: fsync"));
  return mark;
}

Status Mark::set(const MarkState& state) {
  const Numbered changed{number_ + 1, state};
  is_unsure_ = true;
  OVL_TRY(os_.pwrite(fd_.get(), encode_slot(changed),
                     (changed.number % 2) * kSlotBytes)
              .in(kName));
  OVL_TRY(os_.fdatasync(fd_.get()).in(kName));
  state_ = state;
  number_ = changed.number;
  is_unsure_ = false;
  return {};
}

Status Mark::remove(Os& os, int directory) {
  auto status = os.unlink({directory, kName});
  if (!status && status.error().code() == ENOENT)
    return {};
  OVL_TRY(std::move(status).in(kName));
  return os.fsync(directory).in("mark: fsync");
}

}  // namespace ovl
