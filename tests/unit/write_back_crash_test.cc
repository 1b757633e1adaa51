// SPDX-License-Identifier: BSD-3-Clause
//
// The write-back is stopped at each of its durable operations, as a kill of
// the server would; then the same layers are served again. Nothing that the
// guest wrote may be missing, and upper ends where it would have ended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "fsengine/device/device.h"
#include "tests/support/device_source.h"
#include "tests/support/nbd_guest_fs.h"
#include "tests/support/stopping_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// One layer set in a directory of its own.
class World {
 public:
  explicit World(Os& os) : os_(os) {
    put("lower/keep/a", "a");
    put("lower/moved/b", "bb");
    put("lower/moved/sub/c", "ccc");
    put("lower/gone/d", "dddd");
    put("lower/rebuilt/e", "eeeee");
    put("lower/edited", "before");
    put("upper/old/f", "f");
    put("upper/stale", "g");
    put("upper/file", "h");
    temp_.dir("work");
    config_.lowers = {temp_.path("lower")};
    config_.upper = temp_.path("upper");
    config_.work = temp_.path("work");
    config_.size = SizeRequest{SizeRequest::Kind::kTotal, 16 << 20};
    config_.owner = OwnerPolicy::kSquash;
    config_.userxattr = true;
    config_.disk.segment_blocks = 64;
    config_.report = [](const std::string&) {};
  }

  Result<std::unique_ptr<Device>> open(Os& os) {
    return Device::open(config_, os);
  }

  // What the guest does: every kind of step that publishing has.
  Status guest(Device& device) {
    DeviceSource source(device);
    GuestFs guest = OVL_TRY(GuestFs::open(source, source.sink()));
    OVL_TRY(guest.rename("moved", "keep/here"));
    OVL_TRY(guest.remove_tree("gone"));
    OVL_TRY(guest.remove_tree("rebuilt"));
    OVL_TRY(guest.mkdir("rebuilt", 0700));
    OVL_TRY(guest.make_node("rebuilt/n", S_IFREG | 0600));
    OVL_TRY(guest.write("edited", 0, bytes_of("after!")));
    OVL_TRY(guest.rename("old/f", "f"));
    OVL_TRY(guest.unlink("stale"));
    OVL_TRY(guest.unlink("file"));
    OVL_TRY(guest.mkdir("file", 0755));
    OVL_TRY(guest.link("keep/a", "linked"));
    OVL_TRY(guest.chmod("old", 0750));
    return guest.close();
  }

  // Serves, lets the guest work, and stops the write-back at operation `stop`;
  // returns how many operations it would have had.
  uint64_t run(StoppingOs& os, uint64_t stop) {
    auto device = open(os);
    EXPECT_TRUE(device) << device.error().what();
    const Status worked = guest(**device);
    EXPECT_TRUE(worked) << worked.error().what();
    os.reset();
    os.stop_at(stop);
    const Status written = (*device)->write_back();
    EXPECT_EQ(written.has_value(), os.count() <= stop);
    const uint64_t count = os.count();
    os.reset();
    return count;
  }

  // Serves once more, to the end.
  void serve_again() {
    auto device = open(os_);
    ASSERT_TRUE(device) << device.error().what();
    const Status written = (*device)->write_back();
    EXPECT_TRUE(written) << written.error().what();
  }

  // Everything in upper and what is left in work, as lines.
  std::vector<std::string> state() const {
    std::vector<std::string> lines;
    for (const char* root : {"upper", "work"})
      for (const auto& entry :
           fs::recursive_directory_iterator(temp_.path(root)))
        lines.push_back(describe(entry));
    std::ranges::sort(lines);
    return lines;
  }

 private:
  void put(const std::string& path, const std::string& content) {
    fs::create_directories(fs::path(temp_.path(path)).parent_path());
    std::ofstream(temp_.path(path)) << content;
  }

  std::string describe(const fs::directory_entry& entry) const {
    std::string line = entry.path().string().substr(temp_.path().size()) + " ";
    const auto status = entry.symlink_status();
    line += std::to_string(static_cast<int>(status.type())) + " " +
            std::to_string(static_cast<unsigned>(status.permissions()));
    if (!entry.is_regular_file() || line.starts_with("/work"))
      return line;
    std::ifstream file(entry.path());
    return line + " " + std::to_string(entry.hard_link_count()) + " " +
           std::string(std::istreambuf_iterator<char>(file), {});
  }

  Os& os_;
  TempDir temp_;
  DeviceConfig config_;
};

TEST(WriteBackCrash, StoppedAnywhereTheNextRunEndsInTheSameState) {
  StoppingOs os;
  World whole(os);
  const uint64_t operations = whole.run(os, UINT64_MAX);
  const auto expected = whole.state();
  ASSERT_GT(operations, 50U);
  for (uint64_t stop = 0; stop < operations; ++stop) {
    SCOPED_TRACE("stopped at " + std::to_string(stop) + " of " +
                 std::to_string(operations));
    World world(os);
    world.run(os, stop);
    world.serve_again();
    const auto state = world.state();
    ASSERT_EQ(state, expected);
    world.serve_again();
    ASSERT_EQ(world.state(), expected);
  }
}

// The end of an interrupted write-back may itself be interrupted.
TEST(WriteBackCrash, StoppedTwiceTheThirdRunEndsInTheSameState) {
  StoppingOs os;
  World whole(os);
  const uint64_t operations = whole.run(os, UINT64_MAX);
  const auto expected = whole.state();
  for (uint64_t stop = operations / 3; stop < operations; stop += 7) {
    for (const uint64_t again : {0U, 3U, 8U, 15U}) {
      SCOPED_TRACE("stopped at " + std::to_string(stop) + ", then at " +
                   std::to_string(again));
      World world(os);
      world.run(os, stop);
      os.stop_at(again);
      if (auto device = world.open(os))
        (void)(*device)->write_back();
      os.reset();
      world.serve_again();
      ASSERT_EQ(world.state(), expected);
    }
  }
}

}  // namespace
}  // namespace ovl
