// SPDX-License-Identifier: BSD-3-Clause
//
// Reads a device and tells how long it took, without starting and connecting:
//
//   read_device --request 4096 --connections 4 --random 100000 URI
//
// In sequence each connection takes the next request of all, so the device is
// read once; --random reads as many requests at places that are the same in
// each run.
#include <libnbd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

namespace {

struct Options {
  std::string uri;
  uint64_t request = 1 << 20;
  unsigned connections = 1;
  unsigned in_flight = 16;  // of each connection
  uint64_t random = 0;      // how many; 0: in sequence
};

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "read_device: %s: %s\n", what, nbd_get_error());
  std::exit(1);
}

struct Close {
  void operator()(nbd_handle* handle) const { nbd_close(handle); }
};
using Handle = std::unique_ptr<nbd_handle, Close>;

Handle connect(const std::string& uri) {
  Handle handle(nbd_create());
  if (!handle || nbd_connect_uri(handle.get(), uri.c_str()) != 0)
    give_up("connect");
  return handle;
}

struct Range {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// What is to be read, in order.
std::vector<Range> plan(const Options& options, uint64_t size) {
  std::vector<Range> ranges;
  const uint64_t blocks = size / options.request;
  std::mt19937_64 random(1);
  for (uint64_t i = 0; i < options.random; ++i)
    ranges.push_back({random() % blocks * options.request, options.request});
  if (ranges.empty())
    for (uint64_t at = 0; at < size; at += options.request)
      ranges.push_back({at, std::min(options.request, size - at)});
  return ranges;
}

class Reader {
 public:
  Reader(Handle handle, const Options& options,
         const std::vector<Range>& ranges, std::atomic<size_t>& next)
      : handle_(std::move(handle)),
        ranges_(ranges),
        next_(next),
        slots_(options.in_flight) {
    for (Slot& slot : slots_)
      slot.buffer.resize(options.request);
  }

  void run() {
    while (start_more() || nbd_aio_in_flight(handle_.get()) > 0)
      if (nbd_poll(handle_.get(), -1) < 0)
        give_up("read");
  }

 private:
  struct Slot {
    std::vector<char> buffer;
    bool busy = false;
  };

  // False when there is nothing left to start.
  bool start_more() {
    for (Slot& slot : slots_) {
      if (slot.busy)
        continue;
      const size_t index = next_++;
      if (index >= ranges_.size())
        return false;
      start(slot, ranges_[index]);
    }
    return true;
  }

  void start(Slot& slot, const Range& range) {
    slot.busy = true;
    const nbd_completion_callback done{[](void* user, int* error) {
                                         if (*error != 0)
                                           give_up("read");
                                         static_cast<Slot*>(user)->busy = false;
                                         return 1;
                                       },
                                       &slot, nullptr};
    if (nbd_aio_pread(handle_.get(), slot.buffer.data(), range.length,
                      range.offset, done, 0) < 0)
      give_up("read");
  }

  Handle handle_;
  const std::vector<Range>& ranges_;
  std::atomic<size_t>& next_;
  std::vector<Slot> slots_;
};

double seconds_to_read(const Options& options) {
  std::vector<Handle> handles;
  for (unsigned i = 0; i < options.connections; ++i)
    handles.push_back(connect(options.uri));
  const int64_t size = nbd_get_size(handles.front().get());
  const auto ranges = plan(options, static_cast<uint64_t>(size));
  std::atomic<size_t> next = 0;
  std::vector<std::unique_ptr<Reader>> readers;
  for (Handle& handle : handles)
    readers.push_back(
        std::make_unique<Reader>(std::move(handle), options, ranges, next));

  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (const auto& reader : readers)
    threads.emplace_back([&reader] { reader->run(); });
  for (std::thread& thread : threads)
    thread.join();
  const std::chrono::duration<double> taken =
      std::chrono::steady_clock::now() - start;
  return taken.count();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("reads an NBD device and prints the seconds that it took");
  app.add_option("uri", options.uri)->required();
  app.add_option("--request", options.request, "bytes");
  app.add_option("--connections", options.connections);
  app.add_option("--in-flight", options.in_flight,
                 "requests of a connection at a time");
  app.add_option("--random", options.random, "requests at random places");
  CLI11_PARSE(app, argc, argv);
  std::printf("%.6f\n", seconds_to_read(options));
  return 0;
}
