// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/checked_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "fsengine/base/read_at.h"

namespace ovl {
namespace {

constexpr size_t kBufferBytes = 1 << 20;

struct FileStart {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t zero;
};
static_assert(sizeof(FileStart) == 16);

using Digest = XXH64_hash_t;
static_assert(sizeof(Digest) == 8);

HashState new_hash() {
  HashState state(XXH3_createState());
  XXH3_64bits_reset(state.get());
  return state;
}

Status check_start(const FileStart& start, const FileKind& kind) {
  if (start.magic != kind.magic)
    return fail(EPROTO, "not a file of this kind");
  if (start.version != kind.version)
    return fail(EPROTO, "of version " + std::to_string(start.version) +
                            ", which is not known");
  return start.zero == 0 ? Status() : damaged("start");
}

}  // namespace

tl::unexpected<Error> damaged(std::string_view why) {
  return fail(EUCLEAN, "damaged: " + std::string(why));
}

Status remove_checked_file(Os& os, int directory, const FileKind& kind) {
  for (const char* name : {kind.name, kind.new_name}) {
    auto status = os.unlink({directory, name});
    if (!status && status.error().code() != ENOENT)
      return std::move(status).in(name);
  }
  return os.fsync(directory).in(std::string(kind.name) + ": fsync");
}

CheckedWriter::CheckedWriter(Os& os, int directory, const FileKind& kind, Fd fd)
    : os_(&os),
      directory_(directory),
      kind_(kind),
      fd_(std::move(fd)),
      hash_(new_hash()) {
  buffer_.reserve(kBufferBytes);
}

Result<CheckedWriter> CheckedWriter::create(Os& os, int directory,
                                            const FileKind& kind) {
  Fd fd = OVL_TRY(os.open_file({directory, kind.new_name},
                               O_WRONLY | O_CREAT | O_TRUNC, 0600)
                      .in(kind.new_name));
  CheckedWriter writer(os, directory, kind, std::move(fd));
  OVL_TRY(writer.put(FileStart{kind.magic, kind.version, 0}));
  return writer;
}

Status CheckedWriter::put_bytes(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part =
        bytes.first(std::min(bytes.size(), kBufferBytes - buffer_.size()));
    buffer_.insert(buffer_.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
    if (buffer_.size() == kBufferBytes)
      OVL_TRY(write_out());
  }
  return {};
}

Status CheckedWriter::put_string(std::string_view text) {
  OVL_TRY(put(static_cast<uint32_t>(text.size())));
  return put_bytes(std::as_bytes(std::span(text)));
}

Status CheckedWriter::write_out() {
  XXH3_64bits_update(hash_.get(), buffer_.data(), buffer_.size());
  OVL_TRY(os_->pwrite(fd_.get(), buffer_, offset_).in(kind_.new_name));
  offset_ += buffer_.size();
  buffer_.clear();
  return {};
}

Status CheckedWriter::commit() {
  OVL_TRY(write_out());
  const Digest digest = XXH3_64bits_digest(hash_.get());
  OVL_TRY(os_->pwrite(fd_.get(), std::as_bytes(std::span(&digest, 1)), offset_)
              .in(kind_.new_name));
  OVL_TRY(os_->fsync(fd_.get()).in(kind_.new_name));
  OVL_TRY(os_->rename({directory_, kind_.new_name}, {directory_, kind_.name},
                      Rename::kReplace)
              .in(kind_.name));
  return os_->fsync(directory_).in(std::string(kind_.name) + ": fsync");
}

CheckedReader::CheckedReader(Fd fd, uint64_t content)
    : fd_(std::move(fd)), hash_(new_hash()), unread_(content) {}

Result<CheckedReader> CheckedReader::open(int directory, const FileKind& kind) {
  const std::string name = kind.name;
  Fd fd(::openat(directory, kind.name,
                 O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat st {};
  if (!fd.is_open() || ::fstat(fd.get(), &st) != 0)
    return last_error(name + ": open");
  const auto size = static_cast<uint64_t>(st.st_size);
  if (!S_ISREG(st.st_mode) || size < sizeof(FileStart) + sizeof(Digest))
    return tl::unexpected(damaged("too short").value().in(name));
  CheckedReader reader(std::move(fd), size - sizeof(Digest));
  const auto start = OVL_TRY(reader.get<FileStart>().in(name));
  OVL_TRY(check_start(start, kind).in(name));
  return reader;
}

Status CheckedReader::refill() {
  buffer_.resize(std::min<uint64_t>(kBufferBytes, unread_));
  at_ = 0;
  OVL_TRY(read_at(fd_.get(), offset_, buffer_));
  XXH3_64bits_update(hash_.get(), buffer_.data(), buffer_.size());
  offset_ += buffer_.size();
  unread_ -= buffer_.size();
  return {};
}

Status CheckedReader::get_bytes(std::span<std::byte> out) {
  if (out.size() > remaining())
    return damaged("too short");
  while (!out.empty()) {
    if (at_ == buffer_.size())
      OVL_TRY(refill());
    const size_t part = std::min(out.size(), buffer_.size() - at_);
    std::memcpy(out.data(), buffer_.data() + at_, part);
    at_ += part;
    out = out.subspan(part);
  }
  return {};
}

Result<std::string> CheckedReader::get_string() {
  const auto length = OVL_TRY(get<uint32_t>());
  OVL_TRY(expect(length, 1));
  std::string text(length, '\0');
  OVL_TRY(get_bytes(std::as_writable_bytes(std::span(text))));
  return text;
}

Status CheckedReader::expect(uint64_t count, uint64_t bytes) const {
  return count <= remaining() / bytes ? Status() : damaged("too short");
}

Status CheckedReader::finish() {
  if (remaining() != 0)
    return damaged("too long");
  Digest kept = 0;
  OVL_TRY(
      read_at(fd_.get(), offset_, std::as_writable_bytes(std::span(&kept, 1))));
  if (kept != XXH3_64bits_digest(hash_.get()))
    return damaged("wrong checksum");
  return {};
}

}  // namespace ovl
