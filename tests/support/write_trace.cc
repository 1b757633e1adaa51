// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/write_trace.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace ovl {
namespace {

constexpr std::array<char, 8> kMagic = {'O', 'V', 'L', 'T', 'R', 'A', 'C', 'E'};

struct RecordHeader {
  uint32_t kind = 0;
  uint32_t is_durable = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
};
static_assert(sizeof(RecordHeader) == 24);

tl::unexpected<Error> damaged(size_t at) {
  return fail(EUCLEAN, fmt::format("not a whole record at byte {}", at));
}

}  // namespace

Status apply_to_file(const TraceRecord& record, int file) {
  const auto offset = static_cast<off_t>(record.offset);
  if (record.is_flush() || record.length == 0)
    return {};
  if (record.kind == TraceKind::kWrite) {
    const ssize_t done =
        ::pwrite(file, record.bytes.data(), record.bytes.size(), offset);
    if (done != static_cast<ssize_t>(record.bytes.size()))
      return last_error("write");
  } else if (::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         offset, static_cast<off_t>(record.length)) != 0) {
    return last_error("punch hole");
  }
  return {};
}

Result<TraceWriter> TraceWriter::create(const std::string& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC,
               0644));
  if (!fd.is_open())
    return last_error(path + ": create");
  if (::write(fd.get(), kMagic.data(), kMagic.size()) !=
      static_cast<ssize_t>(kMagic.size()))
    return last_error(path + ": write");
  return TraceWriter(std::move(fd));
}

Status TraceWriter::append(const TraceRecord& record) {
  RecordHeader header{static_cast<uint32_t>(record.kind), record.is_durable,
                      record.offset, record.length};
  auto* const bytes = const_cast<std::byte*>(record.bytes.data());
  const std::array<iovec, 2> parts{
      {{&header, sizeof header}, {bytes, record.bytes.size()}}};
  const auto all = static_cast<ssize_t>(sizeof header + record.bytes.size());
  if (::writev(fd_.get(), parts.data(), parts.size()) != all)
    return last_error("write trace");
  return {};
}

void Trace::Unmap::operator()(std::byte* bytes) const {
  ::munmap(bytes, length);
}

Result<Trace> Trace::open(const std::vector<std::string>& paths) {
  Trace trace;
  for (const std::string& path : paths)
    OVL_TRY(trace.add(path).in(path));
  return trace;
}

void Trace::add_flush(size_t position) {
  records_.insert(records_.begin() + static_cast<ptrdiff_t>(position),
                  TraceRecord{});
}

Status Trace::add(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st {};
  if (!fd.is_open() || ::fstat(fd.get(), &st) != 0)
    return last_error("open");
  const auto length = static_cast<size_t>(st.st_size);
  void* const at = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (at == MAP_FAILED)
    return last_error("map");
  mappings_.emplace_back(static_cast<std::byte*>(at), Unmap{length});
  return parse({static_cast<std::byte*>(at), length});
}

Status Trace::parse(std::span<const std::byte> bytes) {
  size_t at = kMagic.size();
  if (bytes.size() < at || std::memcmp(bytes.data(), kMagic.data(), at) != 0)
    return fail(EUCLEAN, "not a trace");
  while (at < bytes.size()) {
    RecordHeader header;
    if (bytes.size() - at < sizeof header)
      return damaged(at);
    std::memcpy(&header, bytes.data() + at, sizeof header);
    TraceRecord record{static_cast<TraceKind>(header.kind),
                       header.is_durable != 0, header.offset, header.length};
    const bool has_bytes = record.kind == TraceKind::kWrite;
    if (has_bytes && bytes.size() - at - sizeof header < record.length)
      return damaged(at);
    at += sizeof header;
    if (has_bytes)
      record.bytes = bytes.subspan(at, record.length);
    at += record.bytes.size();
    records_.push_back(record);
  }
  return {};
}

}  // namespace ovl
