// SPDX-License-Identifier: BSD-3-Clause
//
// The door to nbdkit: callbacks and nothing else. No exception crosses it.
#define NBDKIT_API_VERSION 2
#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#include <nbdkit-plugin.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <span>
#include <string>

#include "fsengine/device/device.h"
#include "fsengine/device/host_facts.h"
#include "plugin/parameters.h"

namespace {

using ovl::Device;
using ovl::Durability;
using ovl::Parameters;
using ovl::Status;

struct Server {
  Parameters parameters;
  std::unique_ptr<Device> device;
  std::atomic<bool> was_opened = false;
  std::atomic<bool> was_writable = false;  // some client could write

  // Under -r, or the cow filter, nothing of ours may be written; nbdkit tells
  // so when a client comes, and nowhere else.
  bool is_read_only() const { return was_opened && !was_writable; }
};
std::unique_ptr<Server> server;

}  // namespace

// nbdkit sets it: -D ovl.check=1 (nbdkit-plugin(3), "Debug Flags").
extern "C" __attribute__((visibility("default"))) int ovl_debug_check;
int ovl_debug_check = 0;
// -D ovl.whole=1: no checkpoints, and the whole tree is written back at the
// end.
extern "C" __attribute__((visibility("default"))) int ovl_debug_whole;
int ovl_debug_whole = 0;

namespace {

// Runs `body`, a Status by value, and answers nbdkit with 0 or with -1 and
// the error, which is logged unless it was reported before.
template <typename Body>
int at_boundary(Body body) noexcept {
  try {
    const Status status = body();
    if (status)
      return 0;
    if (!status.error().is_reported())
      nbdkit_error("%s", ovl::one_line(status.error().what()).c_str());
    nbdkit_set_error(status.error().code());
  } catch (const std::bad_alloc&) {
    nbdkit_error("out of memory");
    nbdkit_set_error(ENOMEM);
  }
  return -1;
}

void ovl_load() {
  server = std::make_unique<Server>();
}

void ovl_unload() {
  server.reset();
}

int ovl_config(const char* key, const char* value) {
  return at_boundary([&] { return server->parameters.set(key, value); });
}

int ovl_config_complete() {
  return at_boundary([] { return server->parameters.check(); });
}

int ovl_get_ready() {
  return at_boundary([]() -> Status {
    ovl::DeviceConfig config = server->parameters.config();
    config.report = [](const std::string& line) {
      nbdkit_error("%s", ovl::one_line(line).c_str());
    };
    config.check_upper = ovl_debug_check != 0;
    if (ovl_debug_whole != 0)
      config.checkpoint.reset();
    server->device = OVL_TRY(Device::open(config, ovl::host_os()));
    return {};
  });
}

int ovl_after_fork() {
  return at_boundary([] { return server->device->start(); });
}

void ovl_cleanup() {
  if (server->device && server->device->is_writable() &&
      !server->is_read_only())
    at_boundary([] { return server->device->write_back(); });
}

void* ovl_open(int readonly) {
  server->was_opened = true;
  if (readonly == 0) {
    server->was_writable = true;
    server->device->expect_writes();
  }
  return NBDKIT_HANDLE_NOT_NEEDED;
}

void ovl_close(void*) {
  server->device->note_disconnect();
}

int64_t ovl_get_size(void*) {
  return static_cast<int64_t>(server->device->size());
}

int ovl_can_write(void*) {
  return server->device->is_writable() ? 1 : 0;
}
int ovl_can_fua(void*) {
  return NBDKIT_FUA_NATIVE;
}
int ovl_yes(void*) {
  return 1;
}
int ovl_no(void*) {
  return 0;
}

int ovl_block_size(void*, uint32_t* minimum, uint32_t* preferred,
                   uint32_t* maximum) {
  *minimum = 1;
  *preferred = ovl::kBlockSize;
  *maximum = UINT32_MAX;
  return 0;
}

int ovl_pread(void*, void* buffer, uint32_t count, uint64_t offset, uint32_t) {
  return at_boundary([=] {
    return server->device->read(offset,
                                {static_cast<std::byte*>(buffer), count});
  });
}

Durability durability_of(uint32_t flags) {
  return (flags & NBDKIT_FLAG_FUA) != 0 ? Durability::kDurable
                                        : Durability::kLazy;
}

int ovl_pwrite(void*, const void* buffer, uint32_t count, uint64_t offset,
               uint32_t flags) {
  return at_boundary([=] {
    return server->device->write(offset,
                                 {static_cast<const std::byte*>(buffer), count},
                                 durability_of(flags));
  });
}

// ext4 zeroes inode tables through loop with requests that arrive as TRIM:
// trimmed bytes must read as zeros, so the two are one.
int ovl_zero(void*, uint32_t count, uint64_t offset, uint32_t flags) {
  return at_boundary([=] {
    return server->device->zero(offset, count, durability_of(flags));
  });
}

int ovl_flush(void*, uint32_t) {
  return at_boundary([] { return server->device->flush(); });
}

int ovl_extents(void*, uint32_t count, uint64_t offset, uint32_t flags,
                nbdkit_extents* extents) {
  return at_boundary([=]() -> Status {
    const uint64_t end = offset + count;
    for (uint64_t at = offset; at < end;) {
      const Device::Extent extent = server->device->extent_at(at, end - at);
      const uint32_t type =
          extent.is_hole ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;
      if (nbdkit_add_extent(extents, at, extent.length, type) == -1)
        return ovl::last_error("extents");
      at += extent.length;
      if ((flags & NBDKIT_FLAG_REQ_ONE) != 0)
        break;
    }
    return {};
  });
}

// Reading is what fills the host's cache: nbdkit does it for us.
int ovl_can_cache(void*) {
  return NBDKIT_CACHE_EMULATE;
}

void ovl_dump_plugin() {
  std::printf("ovl_types=ext2,ext4\n");
  std::printf("ovl_layers=directory\n");
  std::printf("ovl_owner=keep,squash\n");
  std::printf("ovl_unrepresentable=record,hold\n");
  std::printf("ovl_checkpoint=seconds,sync\n");
  std::printf(
      "ovl_xattr_family=%s\n",
      ovl::default_family() == ovl::XattrFamily::kTrusted ? "trusted" : "user");
  std::printf("ovl_redirect_dir=%s\n",
              ovl::kernel_follows_redirects() ? "on" : "off");
}

const char kConfigHelp[] =
    "lowerdir=<PATH>[:<PATH>...]  (required) Lower layers, topmost first.\n"
    "upperdir=<DIR>               Upper layer, the one that is written to.\n"
    "workdir=<DIR>                Directory of ours beside upperdir.\n"
    "size=<SIZE>|+<SIZE>          Size of the device, or free space in it.\n"
    "type=ext2|ext4               File system type.\n"
    "label=<LABEL>                File system label.\n"
    "uuid=<UUID>                  File system UUID.\n"
    "journal=yes|no               Put a journal into the image.\n"
    "checkpoint=<SECONDS>|sync    How often upperdir is brought up to date.\n"
    "redirect_dir=on|off          Record moved directories as redirects.\n"
    "userxattr=yes|no             Use user.overlay. attributes.\n"
    "owner=keep|squash            What becomes of the guest's owners.\n"
    "unrepresentable=record|hold  What upperdir's file system cannot have.\n"
    "relayout=yes|no              Lay out anew what an earlier run kept.";

nbdkit_plugin make_plugin() {
  nbdkit_plugin plugin{};
  plugin.name = "ovl";
  plugin.version = OVL_VERSION;
  plugin.longname = "overlay of directories as an ext2 disk";
  plugin.description =
      "Serves an ext2 file system whose tree is the overlay of lower "
      "directories and an upper one, and writes changes back to upper.";
  plugin.magic_config_key = "lowerdir";
  plugin.config_help = kConfigHelp;
  plugin.errno_is_preserved = 1;
  plugin.load = ovl_load;
  plugin.unload = ovl_unload;
  plugin.config = ovl_config;
  plugin.config_complete = ovl_config_complete;
  plugin.get_ready = ovl_get_ready;
  plugin.after_fork = ovl_after_fork;
  plugin.cleanup = ovl_cleanup;
  plugin.open = ovl_open;
  plugin.close = ovl_close;
  plugin.get_size = ovl_get_size;
  plugin.block_size = ovl_block_size;
  plugin.can_write = ovl_can_write;
  plugin.can_flush = ovl_can_write;
  plugin.can_trim = ovl_can_write;
  plugin.can_zero = ovl_can_write;
  plugin.can_fast_zero = ovl_can_write;
  plugin.can_fua = ovl_can_fua;
  plugin.can_multi_conn = ovl_yes;
  plugin.is_rotational = ovl_no;
  plugin.pread = ovl_pread;
  plugin.pwrite = ovl_pwrite;
  plugin.zero = ovl_zero;
  plugin.trim = ovl_zero;
  plugin.flush = ovl_flush;
  plugin.can_extents = ovl_yes;
  plugin.extents = ovl_extents;
  plugin.can_cache = ovl_can_cache;
  plugin.dump_plugin = ovl_dump_plugin;
  return plugin;
}

nbdkit_plugin plugin = make_plugin();

}  // namespace

NBDKIT_REGISTER_PLUGIN(plugin)
