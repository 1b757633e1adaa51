// SPDX-License-Identifier: BSD-3-Clause
//
// An nbdkit plugin that serves a raw file and records what clients do to it:
//
//   nbdkit ./write_recorder.so file=IMAGE trace=NEW_FILE
//
// One lock is held while a request is carried out and recorded, so the trace is
// a total order in which each request that was answered comes before those that
// were sent afterwards. Nothing is synced: the tests make their own power cuts.
#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <nbdkit-plugin.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "fsengine/base/fd.h"
#include "tests/support/write_trace.h"

namespace {

struct Recorder {
  std::string file_path;
  std::string trace_path;
  ovl::Fd file;
  std::mutex mutex;
  std::optional<ovl::TraceWriter> trace;
};
Recorder recorder;

int answer(const ovl::Status& status) {
  if (status.has_value())
    return 0;
  nbdkit_error("%s", status.error().what().c_str());
  nbdkit_set_error(status.error().code());
  return -1;
}

int recorder_config(const char* key, const char* value) {
  const std::string_view name = key;
  if (name == "file")
    recorder.file_path = value;
  else if (name == "trace")
    recorder.trace_path = value;
  else
    return answer(ovl::fail(EINVAL, std::string("unknown parameter ") + key));
  return 0;
}

ovl::Status open_files() {
  recorder.file =
      ovl::Fd(::open(recorder.file_path.c_str(), O_RDWR | O_CLOEXEC));
  if (!recorder.file.is_open())
    return ovl::last_error(recorder.file_path + ": open");
  recorder.trace = OVL_TRY(ovl::TraceWriter::create(recorder.trace_path));
  return {};
}

int recorder_get_ready() {
  return answer(open_files());
}

void* recorder_open(int) {
  return NBDKIT_HANDLE_NOT_NEEDED;
}

ovl::Status carry_out(const ovl::TraceRecord& record) {
  const std::scoped_lock lock(recorder.mutex);
  OVL_TRY(ovl::apply_to_file(record, recorder.file.get()));
  return recorder.trace->append(record);
}

// All clients have left and nothing is under way, as after a flush, which a
// client that mounts without barriers does not send.
void recorder_cleanup() {
  answer(carry_out({}));
}

int64_t recorder_get_size(void*) {
  struct stat st {};
  if (::fstat(recorder.file.get(), &st) != 0)
    return answer(ovl::last_error("stat"));
  return st.st_size;
}

int recorder_can_fua(void*) {
  return NBDKIT_FUA_NATIVE;
}
int recorder_yes(void*) {
  return 1;
}

ovl::Status read_file(void* buffer, uint32_t count, uint64_t offset) {
  const ssize_t got =
      ::pread(recorder.file.get(), buffer, count, static_cast<off_t>(offset));
  if (got != static_cast<ssize_t>(count))
    return ovl::last_error("read");
  return {};
}

int recorder_pread(void*, void* buffer, uint32_t count, uint64_t offset,
                   uint32_t) {
  return answer(read_file(buffer, count, offset));
}

bool is_durable(uint32_t flags) {
  return (flags & NBDKIT_FLAG_FUA) != 0;
}

int recorder_pwrite(void*, const void* buffer, uint32_t count, uint64_t offset,
                    uint32_t flags) {
  return answer(carry_out({ovl::TraceKind::kWrite,
                           is_durable(flags),
                           offset,
                           count,
                           {static_cast<const std::byte*>(buffer), count}}));
}

int recorder_zero(void*, uint32_t count, uint64_t offset, uint32_t flags) {
  return answer(
      carry_out({ovl::TraceKind::kZero, is_durable(flags), offset, count}));
}

int recorder_trim(void*, uint32_t count, uint64_t offset, uint32_t flags) {
  return answer(
      carry_out({ovl::TraceKind::kTrim, is_durable(flags), offset, count}));
}

int recorder_flush(void*, uint32_t) {
  return answer(carry_out({}));
}

nbdkit_plugin make_plugin() {
  nbdkit_plugin plugin{};
  plugin.name = "write-recorder";
  plugin.errno_is_preserved = 1;
  plugin.config = recorder_config;
  plugin.get_ready = recorder_get_ready;
  plugin.open = recorder_open;
  plugin.cleanup = recorder_cleanup;
  plugin.get_size = recorder_get_size;
  plugin.can_write = recorder_yes;
  plugin.can_flush = recorder_yes;
  plugin.can_trim = recorder_yes;
  plugin.can_zero = recorder_yes;
  plugin.can_fast_zero = recorder_yes;
  plugin.can_fua = recorder_can_fua;
  plugin.can_multi_conn = recorder_yes;
  plugin.pread = recorder_pread;
  plugin.pwrite = recorder_pwrite;
  plugin.zero = recorder_zero;
  plugin.trim = recorder_trim;
  plugin.flush = recorder_flush;
  return plugin;
}

nbdkit_plugin plugin = make_plugin();

}  // namespace

NBDKIT_REGISTER_PLUGIN(plugin)
