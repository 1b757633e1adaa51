// SPDX-License-Identifier: BSD-3-Clause
//
// The device over small directories: a model test against plain memory, what
// survives, and what is refused.
#include "fsengine/device/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

#include "fsengine/device/host_facts.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wrap_os.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

constexpr uint64_t kSector = 512;

class DeviceTest : public ::testing::Test {
 protected:
  DeviceTest() {
    for (const char* name : {"lower", "upper", "work"})
      temp_.dir(name);
    std::ofstream(temp_.path("lower/f")) << std::string(10000, 'f');
    config_.lowers = {temp_.path("lower")};
    config_.upper = temp_.path("upper");
    config_.work = temp_.path("work");
    config_.size = SizeRequest{SizeRequest::Kind::kTotal, 32 << 20};
    config_.owner = OwnerPolicy::kSquash;
    config_.userxattr = true;
    config_.disk.segment_blocks = 64;
    config_.report = [this](const std::string& line) {
      reports_.push_back(line);
    };
  }

  void open(Os& os = host_os()) {
    device_.reset();
    auto device = Device::open(config_, os);
    ASSERT_TRUE(device) << device.error().what();
    device_ = std::move(*device);
  }
  std::string open_error() {
    auto device = Device::open(config_, host_os());
    return device ? "" : device.error().what();
  }
  Bytes read(uint64_t offset, uint64_t length) {
    Bytes bytes(length);
    EXPECT_TRUE(device_->read(offset, bytes));
    return bytes;
  }
  Bytes whole() { return read(0, device_->size()); }
  bool work_is_empty() const { return fs::is_empty(temp_.path("work")); }

  TempDir temp_;
  DeviceConfig config_;
  std::vector<std::string> reports_;
  std::unique_ptr<Device> device_;
};

struct RandomStep {
  uint64_t offset;
  uint64_t length;
  enum { kRead, kWrite, kZero, kReopen } kind;
  std::byte fill;
};

RandomStep random_step(std::mt19937_64& random, uint64_t size) {
  const uint64_t sectors = size / kSector;
  const uint64_t most = random() % 8 == 0 ? 2048 : 24;
  const uint64_t first = random() % sectors;
  const uint64_t count = std::min(1 + random() % most, sectors - first);
  const uint64_t dice = random() % 100;
  return {first * kSector, count * kSector,
          dice < 40   ? RandomStep::kRead
          : dice < 80 ? RandomStep::kWrite
          : dice < 98 ? RandomStep::kZero
                      : RandomStep::kReopen,
          static_cast<std::byte>(random())};
}

TEST_F(DeviceTest, ReadsBackWhatAPlainArrayWouldHold) {
  const uint64_t fresh = std::random_device()();
  for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, fresh}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    device_.reset();
    for (const char* name : {"upper", "work"}) {
      fs::remove_all(temp_.path(name));
      temp_.dir(name);
    }
    open();
    Bytes model = whole();
    std::mt19937_64 random(seed);
    for (int i = 0; i < 1500; ++i) {
      const RandomStep step = random_step(random, device_->size());
      const auto part = std::span(model).subspan(step.offset, step.length);
      if (step.kind == RandomStep::kWrite) {
        std::ranges::fill(part, step.fill);
        ASSERT_TRUE(device_->write(step.offset, part));
      } else if (step.kind == RandomStep::kZero) {
        std::ranges::fill(part, std::byte{0});
        ASSERT_TRUE(device_->zero(step.offset, step.length));
      } else if (step.kind == RandomStep::kReopen) {
        open();
      } else {
        ASSERT_TRUE(std::ranges::equal(read(step.offset, step.length), part));
      }
    }
    EXPECT_TRUE(whole() == model);
    device_.reset();
  }
}

TEST_F(DeviceTest, ReadsOfAnyAlignmentAgree) {
  open();
  ASSERT_TRUE(device_->write(5 * kBlockSize, Bytes(kSector, std::byte{7})));
  const Bytes model = whole();
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    // Most around the start of the device, where all kinds of blocks are.
    const uint64_t end = random() % 4 == 0 ? model.size() : 200 * kBlockSize;
    const uint64_t offset = random() % end;
    const uint64_t length =
        std::min(1 + random() % 20000, model.size() - offset);
    ASSERT_TRUE(std::ranges::equal(read(offset, length),
                                   std::span(model).subspan(offset, length)))
        << offset << "+" << length;
  }
}

TEST_F(DeviceTest, PartsOfOneBlockWrittenAtOnceAllStay) {
  open();
  constexpr uint64_t kThreads = 8;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t)
    threads.emplace_back([this, t] {
      const Bytes mine(kSector, static_cast<std::byte>('a' + t));
      for (int i = 0; i < 50; ++i)
        EXPECT_TRUE(device_->write((16 << 20) + t * kSector, mine));
    });
  for (std::thread& thread : threads)
    thread.join();
  for (uint64_t t = 0; t < kThreads; ++t)
    EXPECT_EQ(read((16 << 20) + t * kSector, kSector),
              Bytes(kSector, static_cast<std::byte>('a' + t)));
}

TEST_F(DeviceTest, ReadersAndWritersAtOnce) {
  open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([this, t] {
      std::mt19937_64 random(static_cast<uint64_t>(t));
      for (int i = 0; i < 200; ++i) {
        const RandomStep step = random_step(random, device_->size());
        Bytes bytes(step.length, step.fill);
        if (step.kind == RandomStep::kWrite)
          EXPECT_TRUE(device_->write(step.offset, bytes));
        else if (step.kind == RandomStep::kZero)
          EXPECT_TRUE(device_->zero(step.offset, step.length));
        else
          EXPECT_TRUE(device_->read(step.offset, bytes));
        EXPECT_TRUE(device_->flush());
      }
    });
  for (std::thread& thread : threads)
    thread.join();
}

TEST_F(DeviceTest, HolesReadAsZerosAndCoverMostOfAnEmptyDisk) {
  open();
  ASSERT_TRUE(device_->write(16 << 20, Bytes(kSector, std::byte{1})));
  const Bytes bytes = whole();
  uint64_t holes = 0;
  for (uint64_t at = 0; at < bytes.size();) {
    const auto extent = device_->extent_at(at, bytes.size() - at);
    ASSERT_GT(extent.length, 0U);
    const auto part = std::span(bytes).subspan(at, extent.length);
    if (extent.is_hole) {
      holes += extent.length;
      EXPECT_TRUE(std::ranges::all_of(
          part, [](std::byte byte) { return byte == std::byte{0}; }));
    }
    at += extent.length;
  }
  EXPECT_GT(holes, bytes.size() / 2);
  EXPECT_LT(holes, bytes.size());
}

TEST_F(DeviceTest, OnlyReadLeavesWorkAsItWas) {
  open();
  whole();
  EXPECT_TRUE(device_->flush());
  EXPECT_TRUE(device_->write_back());
  EXPECT_TRUE(work_is_empty());
}

// Counts the times that upper's root is marked.
class MarkingOs : public WrapOs {
 public:
  Status set_xattr(const At& at, const std::string& name,
                   std::string_view value) override {
    marked += name.ends_with("unsettled") ? 1 : 0;
    return WrapOs::set_xattr(at, name, value);
  }
  int marked = 0;
};

TEST_F(DeviceTest, EachStartMarksUpperOnceAndAtItsFirstWrite) {
  MarkingOs os;
  for (int start = 1; start <= 2; ++start) {
    open(os);
    EXPECT_EQ(os.marked, start - 1);
    ASSERT_TRUE(device_->write(0, Bytes(kSector)));
    ASSERT_TRUE(device_->write(kSector, Bytes(kSector)));
    EXPECT_EQ(os.marked, start);
    EXPECT_TRUE(fs::exists(temp_.path("work/work/incompat/ovl")));
  }
  device_.reset();
}

TEST_F(DeviceTest, SameLayersSameBytes) {
  open();
  const Bytes first = whole();
  open();
  EXPECT_TRUE(first == whole());
}

TEST_F(DeviceTest, UncleanFileSystemIsKeptAndTakenUp) {
  open();
  Bytes super = read(1024, 1024);
  super[0x3a] = std::byte{0};  // s_state: not clean
  ASSERT_TRUE(device_->write(1024, super));
  const Status status = device_->write_back();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), EBUSY);
  EXPECT_THAT(status.error().what(), HasSubstr("kept in"));
  EXPECT_TRUE(fs::is_empty(temp_.path("upper")));
  open();
  EXPECT_EQ(read(1024, 1024), super);
}

TEST_F(DeviceTest, KeptWritesAreRefusedOverAnotherSize) {
  open();
  ASSERT_TRUE(device_->write(0, Bytes(kSector)));
  device_.reset();
  config_.size->bytes *= 2;
  EXPECT_THAT(open_error(), HasSubstr("cannot go on"));
}

TEST_F(DeviceTest, KeptWritesAreRefusedOverAnotherUpper) {
  open();
  ASSERT_TRUE(device_->write(0, Bytes(kSector)));
  device_.reset();
  std::ofstream(temp_.path("upper/new")) << "x";
  EXPECT_THAT(open_error(), HasSubstr("cannot go on"));
}

TEST_F(DeviceTest, MountWithoutChangesWritesNothing) {
  open();
  Bytes super = read(1024, 1024);
  super[0x34] = std::byte{7};  // s_mnt_count
  ASSERT_TRUE(device_->write(1024, super));
  const Status status = device_->write_back();
  EXPECT_TRUE(status) << status.error().what();
  EXPECT_TRUE(fs::is_empty(temp_.path("upper")));
}

TEST_F(DeviceTest, AFileThatChangedIsAnErrorReportedOnce) {
  config_.upper.reset();
  config_.work.reset();
  open();
  const Bytes before = whole();
  const Bytes needle(kBlockSize, std::byte{'f'});
  const auto found =
      std::search(before.begin(), before.end(), needle.begin(), needle.end());
  ASSERT_NE(found, before.end());
  const auto offset = static_cast<uint64_t>(found - before.begin());
  std::ofstream(temp_.path("lower/f")) << std::string(10000, 'g');
  fs::last_write_time(temp_.path("lower/f"),
                      fs::file_time_type::clock::now() + std::chrono::hours(1));
  Bytes bytes(kBlockSize);
  EXPECT_EQ(device_->read(offset, bytes).error().code(), EIO);
  EXPECT_EQ(device_->read(offset, bytes).error().code(), EIO);
  ASSERT_EQ(reports_.size(), 1U);
  EXPECT_THAT(reports_[0], HasSubstr("lower/f"));
}

TEST_F(DeviceTest, SecondServerOnTheSameWorkIsRefused) {
  open();
  EXPECT_THAT(open_error(), HasSubstr("in use by another server"));
}

TEST_F(DeviceTest, LayersThatOverlapAreRefusedAndNothingIsMade) {
  config_.upper = temp_.dir("lower/u");
  EXPECT_THAT(open_error(), HasSubstr("upperdir: "));
  config_.upper = temp_.path("upper");
  config_.work = temp_.dir("upper/w");
  EXPECT_THAT(open_error(), HasSubstr("workdir: "));
  EXPECT_TRUE(fs::is_empty(temp_.path("upper/w")));
}

TEST_F(DeviceTest, MissingLayersAreNamed) {
  config_.lowers.push_back(temp_.path("missing"));
  EXPECT_THAT(open_error(), HasSubstr("lowerdir: " + temp_.path("missing")));
}

TEST_F(DeviceTest, SizeThatIsTooSmallSaysWhatIsNeeded) {
  config_.size->bytes = 1 << 20;
  EXPECT_THAT(open_error(), HasSubstr("size: "));
  EXPECT_TRUE(work_is_empty());
}

}  // namespace
}  // namespace ovl
