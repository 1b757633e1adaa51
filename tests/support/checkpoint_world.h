// SPDX-License-Identifier: BSD-3-Clause
//
// Layers, a device over them, and a guest without a kernel that works on it
// while checkpoints are made.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "fsengine/device/device.h"
#include "fsengine/device/host_facts.h"
#include "tests/support/device_source.h"
#include "tests/support/layers_manifest.h"
#include "tests/support/nbd_guest_dump.h"
#include "tests/support/temp_dir.h"

namespace ovl {

class CheckpointWorld {
 public:
  using Lines = std::vector<std::string>;
  enum class Upper { kEmpty, kFilled };

  explicit CheckpointWorld(Os& os = host_os(), Upper upper = Upper::kEmpty)
      : os_(os) {
    if (upper == Upper::kFilled)
      fill_upper();
    for (const char* path : {"a/a/x", "a/b", "b/a", "b/d/c", "c", "d/a"})
      put("lower/" + std::string(path), std::string(5000, *path));
    std::filesystem::create_hard_link(temp_.path("lower/c"),
                                      temp_.path("lower/a/c"));
    temp_.dir("upper");
    temp_.dir("work");
    config_.lowers = {temp_.path("lower")};
    config_.upper = temp_.path("upper");
    config_.work = temp_.path("work");
    config_.size = SizeRequest{SizeRequest::Kind::kTotal, 16 << 20};
    config_.owner = is_privileged() ? OwnerPolicy::kKeep : OwnerPolicy::kSquash;
    config_.disk.segment_blocks = 64;
    config_.check_upper = true;
    config_.report = [this](const std::string& line) {
      reports.push_back(line);
    };
  }

  std::vector<std::string> reports;
  DeviceConfig& config() { return config_; }
  Device& device() { return *device_; }
  bool is_open() const { return device_ != nullptr; }
  std::string path(const std::string& name) const { return temp_.path(name); }

  Status open() {
    device_.reset();
    device_ = OVL_TRY(Device::open(config_, os_));
    return {};
  }
  /// As a kill does; what the device had done stays.
  void kill() { device_.reset(); }

  /// A guest mounts, works, and unmounts.
  Status guest(const std::function<Status(GuestFs&)>& work) {
    DeviceSource source(*device_);
    GuestFs guest = OVL_TRY(GuestFs::open(source, source.sink()));
    OVL_TRY(work(guest));
    OVL_TRY(guest.close());
    return device_->flush();
  }

  Status end() {
    OVL_TRY(device_->write_back());
    device_.reset();
    return {};
  }

  /// What the guest sees.
  Lines shown() const { return shown(DeviceSource(*device_)); }
  /// What a guest of another device sees.
  Lines shown(const BlockSource& source) const {
    const auto guest = GuestFs::open(source);
    EXPECT_TRUE(guest) << guest.error().what();
    return guest ? lines(dump_guest(*guest, source)) : Lines();
  }
  /// What overlayfs would show of the layers.
  Lines merged() const {
    return lines(scan_layers(
        {config_.lowers, config_.data_only, config_.upper, default_family()}));
  }
  /// Lines of the one and not of the other: `- only shown`, `+ only merged`.
  static Lines difference(const Lines& shown, const Lines& merged) {
    Lines all;
    for (const std::string& line : shown)
      if (!std::ranges::binary_search(merged, line))
        all.push_back("- " + line);
    for (const std::string& line : merged)
      if (!std::ranges::binary_search(shown, line))
        all.push_back("+ " + line);
    return all;
  }
  /// All in upper, and the names in work.
  Lines state() const {
    namespace fs = std::filesystem;
    Lines all;
    for (const auto& entry : fs::recursive_directory_iterator(path("upper")))
      all.push_back(describe(entry));
    for (const auto& entry : fs::recursive_directory_iterator(path("work")))
      all.push_back(entry.path().string().substr(temp_.path().size()));
    std::ranges::sort(all);
    return all;
  }

  /// Bytes that the host's disk has for what log and store keep.
  uint64_t kept_bytes() const {
    uint64_t total = 0;
    namespace fs = std::filesystem;
    for (const char* name : {"work/ovl/blocks", "work/ovl/log"})
      for (const auto& entry :
           fs::exists(path(name)) && fs::is_directory(path(name))
               ? files_in(path(name))
               : std::vector<std::string>{path(name)}) {
        struct stat st {};
        if (::stat(entry.c_str(), &st) == 0)
          total += static_cast<uint64_t>(st.st_blocks) * 512;
      }
    return total;
  }

 private:
  static std::vector<std::string> files_in(const std::string& directory) {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
      files.push_back(entry.path().string());
    return files;
  }

  // As overlayfs would have left it: new files, changed ones, linked ones.
  void fill_upper() {
    for (const char* file : {"a/b", "a/e", "b/e/a", "b/e/c", "e", "d/b/b/c"})
      put("upper/" + std::string(file), std::string(9000, *file));
    std::filesystem::create_hard_link(temp_.path("upper/e"),
                                      temp_.path("upper/b/b"));
  }

  void put(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(
        std::filesystem::path(temp_.path(path)).parent_path());
    std::ofstream(temp_.path(path)) << content;
  }

  Lines lines(Result<Manifest> manifest) const {
    EXPECT_TRUE(manifest) << manifest.error().what();
    if (!manifest)
      return {};
    char* text = nullptr;
    size_t length = 0;
    std::FILE* out = ::open_memstream(&text, &length);
    const Status printed =
        manifest->print(out, {.owner = config_.owner == OwnerPolicy::kKeep});
    EXPECT_TRUE(printed) << printed.error().what();
    std::fclose(out);
    std::istringstream in{std::string(text, length)};
    std::free(text);
    Lines all;
    // The host's symlinks have no permissions of their own.
    for (std::string line; std::getline(in, line);)
      if (const size_t link = line.find(" l 07"); link != line.npos)
        all.push_back(line.replace(link + 3, 4, "0777"));
      else if (!line.starts_with("/lost+found"))
        all.push_back(line);
    std::ranges::sort(all);
    return all;
  }

  std::string describe(const std::filesystem::directory_entry& entry) const {
    const auto status = entry.symlink_status();
    std::string line = entry.path().string().substr(temp_.path().size()) + " " +
                       std::to_string(static_cast<int>(status.type())) + " " +
                       std::to_string(static_cast<int>(status.permissions()));
    if (!entry.is_regular_file())
      return line;
    std::ifstream file(entry.path());
    return line + " " + std::to_string(entry.hard_link_count()) + " " +
           std::string(std::istreambuf_iterator<char>(file), {});
  }

  Os& os_;
  TempDir temp_;
  DeviceConfig config_;
  std::unique_ptr<Device> device_;
};

}  // namespace ovl
