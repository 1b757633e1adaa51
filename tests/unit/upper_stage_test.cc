// SPDX-License-Identifier: BSD-3-Clause
//
// Plans carried out on directories of the host, in the form that needs no
// privilege: user attributes, owners squashed. Reading upper back over the
// same lower must give the tree that was asked for. Each plan goes through its
// file's form, and is carried out twice, which must be the same as once.
#include "fsengine/overlay/upper_stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <fstream>

#include "fsengine/overlay/empty_directory.h"
#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/stack.h"
#include "tests/support/guest_edit.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree_text.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Zeros : public BlockSource {
 public:
  explicit Zeros(uint64_t size) : size_(size) {}
  uint64_t size() const override { return size_; }
  Status read(uint64_t, std::span<std::byte> out) const override {
    std::ranges::fill(out, std::byte{0});
    return {};
  }

 private:
  uint64_t size_;
};

class UpperStageTest : public ::testing::Test {
 protected:
  UpperStageTest() {
    for (const char* name : {"lower", "upper", "staging"})
      temp_.dir(name);
  }

  void put(const std::string& path, const std::string& content = "x") {
    fs::create_directories(fs::path(temp_.path(path)).parent_path());
    std::ofstream(temp_.path(path)) << content;
  }

  GuestEdit& guest() {
    if (!edit_) {
      stack_ = *Stack::open(
          {{temp_.path("lower")}, {}, temp_.path("upper"), XattrFamily::kUser});
      files_ = std::make_unique<FileReader>(*stack_, [](const auto&) {});
      edit_ = std::make_unique<GuestEdit>(stack_->pool(), stack_->merged());
    }
    return *edit_;
  }

  Status write() {
    const Tree tree = guest().tree();
    expected_ = names(tree);
    const Fd upper = open_dir(temp_.path("upper"));
    const Fd staging = open_dir(temp_.path("staging"));
    const auto content =
        [&](NodeId id) -> Result<std::unique_ptr<BlockSource>> {
      const Node& node = stack_->pool()[id];
      if (node.origin == Origin::kLayer)
        return files_->content(id);
      return std::unique_ptr<BlockSource>(new Zeros(node.size));
    };
    const UpperTarget target{.os = host_os(),
                             .pool = stack_->pool(),
                             .upper = upper.get(),
                             .staging = staging.get(),
                             .family = XattrFamily::kUser,
                             .owner = OwnerPolicy::kSquash,
                             .privileged = false,
                             .content = content};
    const UpperPlan plan = plan_upper(
        {stack_->lower(), stack_->merged(), tree, false, OwnerPolicy::kSquash});
    const PublishPlan steps = OVL_TRY(UpperStage(target, plan).run());
    if (fail_before_publish_)
      return fail(EIO, "told to fail");
    const std::string file = encode_plan(steps);
    const PublishPlan read =
        OVL_TRY(decode_plan(std::as_bytes(std::span(file))));
    const Fd other = open_dir(temp_.path("lower"));
    const auto refused = publish(host_os(), other.get(), staging.get(), read);
    EXPECT_EQ(refused ? 0 : refused.error().code(), ESTALE);
    OVL_TRY(publish(host_os(), upper.get(), staging.get(), read));
    OVL_TRY(publish(host_os(), upper.get(), staging.get(), read));
    return empty_directory(host_os(), staging.get());
  }

  // Writes, reads again, and compares what stands where.
  void expect_round_trip() {
    const auto status = write();
    ASSERT_TRUE(status) << status.error().what();
    const auto again = Stack::open(
        {{temp_.path("lower")}, {}, temp_.path("upper"), XattrFamily::kUser});
    ASSERT_TRUE(again) << again.error().what();
    EXPECT_EQ(names((*again)->merged()), expected_);
    EXPECT_TRUE(fs::is_empty(temp_.path("staging")));
  }

  // Names alone: where they come from is the point of writing.
  static std::vector<std::string> names(const Tree& tree) {
    auto lines = tree_text(tree);
    for (std::string& line : lines)
      if (const size_t at = line.rfind('@'); at != line.npos)
        line.resize(at);
    return lines;
  }

  std::vector<std::string> upper() const {
    std::vector<std::string> names;
    const std::string root = temp_.path("upper");
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const auto kind = entry.symlink_status().type();
      names.push_back(entry.path().string().substr(root.size() + 1) +
                      (kind == fs::file_type::character   ? "-"
                       : kind == fs::file_type::directory ? "/"
                                                          : ""));
    }
    std::ranges::sort(names);
    return names;
  }

  std::string content(const std::string& path) const {
    std::ifstream file(temp_.path(path));
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TempDir temp_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<FileReader> files_;
  std::unique_ptr<GuestEdit> edit_;
  std::vector<std::string> expected_;
  bool fail_before_publish_ = false;
};

TEST_F(UpperStageTest, NothingChangedWritesNothing) {
  put("lower/f");
  expect_round_trip();
  EXPECT_THAT(upper(), IsEmpty());
}

TEST_F(UpperStageTest, RenamedFileIsCopiedWithItsContent) {
  put("lower/d/f", "content");
  guest().rename("d/f", "g");
  expect_round_trip();
  EXPECT_THAT(upper(), ElementsAre("d/", "d/f-", "g"));
  EXPECT_EQ(content("upper/g"), "content");
}

TEST_F(UpperStageTest, RenamedUpperFileIsTheSameInode) {
  put("upper/f", "content");
  struct stat before {};
  ::stat(temp_.path("upper/f").c_str(), &before);
  guest().rename("f", "g");
  expect_round_trip();
  struct stat after {};
  ::stat(temp_.path("upper/g").c_str(), &after);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_THAT(upper(), ElementsAre("g"));
}

TEST_F(UpperStageTest, DirectoryTurnsIntoAFileAndBack) {
  put("lower/a/f");
  put("upper/a/g");
  put("upper/b");
  guest().remove("a");
  guest().create("a");
  guest().remove("b");
  guest().mkdir("b");
  guest().create("b/n");
  expect_round_trip();
  EXPECT_THAT(upper(), ElementsAre("a", "b/", "b/n"));
}

TEST_F(UpperStageTest, RebuiltDirectoryIsOpaque) {
  put("lower/d/f");
  guest().remove("d");
  guest().mkdir("d");
  guest().create("d/n");
  expect_round_trip();
  char value = 0;
  EXPECT_EQ(::getxattr(temp_.path("upper/d").c_str(), "user.overlay.opaque",
                       &value, 1),
            1);
  EXPECT_EQ(value, 'y');
}

TEST_F(UpperStageTest, MovedDirectoryIsCopiedInFull) {
  put("lower/d/f", "1");
  put("lower/d/s/g", "2");
  guest().mkdir("n");
  guest().rename("d", "n/e");
  expect_round_trip();
  EXPECT_EQ(content("upper/n/e/s/g"), "2");
  EXPECT_THAT(upper(), Contains("d-"));
}

TEST_F(UpperStageTest, HardLinkIsOneInodeUnderAllNames) {
  put("lower/a");
  guest().link("a", "b");
  guest().link("a", "c");
  expect_round_trip();
  struct stat st {};
  ::stat(temp_.path("upper/c").c_str(), &st);
  EXPECT_EQ(st.st_nlink, 3U);
}

TEST_F(UpperStageTest, ModeOfAnUpperFileChangesInPlace) {
  put("upper/f", "content");
  guest().chmod("f", 0600);
  expect_round_trip();
  EXPECT_EQ(fs::status(temp_.path("upper/f")).permissions(), fs::perms(0600));
  EXPECT_EQ(content("upper/f"), "content");
}

TEST_F(UpperStageTest, UnwritableDirectoriesAreNoObstacle) {
  put("upper/d/f");
  put("upper/d/s/g");
  guest().chmod("d", 0500);
  guest().remove("d/f");
  guest().remove("d/s");
  guest().mkdir("d/n");
  guest().chmod("d/n", 0500);
  expect_round_trip();
  EXPECT_EQ(fs::status(temp_.path("upper/d")).permissions(), fs::perms(0500));
  fs::permissions(temp_.path("upper/d"), fs::perms(0700));
}

TEST_F(UpperStageTest, EverythingGoesAndComes) {
  put("upper/d/x");
  put("lower/d/y");
  put("lower/e");
  for (const char* name : {"d", "e"})
    guest().remove(name);
  for (const char* name : {"d2", "d2/d3"})
    guest().mkdir(name);
  guest().create("d2/d3/f");
  expect_round_trip();
  EXPECT_THAT(upper(), ElementsAre("d-", "d2/", "d2/d3/", "d2/d3/f", "e-"));
}

// A device 0:0 of the guest's comes back, and is no whiteout.
TEST_F(UpperStageTest, WhiteoutNodeOfAGuestIsAMarkedFile) {
  put("lower/c");
  put("lower/d/x");
  guest().remove("c");
  guest().create("c", S_IFCHR | 0640);
  guest().link("c", "d/linked");
  expect_round_trip();
  EXPECT_THAT(upper(), ElementsAre("c", "d/", "d/linked"));
}

TEST_F(UpperStageTest, FailureBeforePublishingLeavesUpperUntouched) {
  put("upper/f");
  put("lower/g");
  guest().remove("f");
  guest().write("g");
  fail_before_publish_ = true;
  EXPECT_FALSE(write());
  EXPECT_THAT(upper(), ElementsAre("f"));
}

TEST_F(UpperStageTest, UpperChangedBehindOurBackIsRefused) {
  put("upper/d/f");
  guest().create("d/n");
  // Made while the old one stands, so that it cannot get its inode number.
  put("upper/e/f");
  fs::remove_all(temp_.path("upper/d"));
  fs::rename(temp_.path("upper/e"), temp_.path("upper/d"));
  const auto status = write();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code(), ESTALE);
}

TEST_F(UpperStageTest, TreesDeeperThanAPathCanBeLongComeAndGo) {
  std::string path;
  for (int i = 0; i < 100; ++i) {
    path = join_path(path, std::string(100, 'd'));
    guest().mkdir(path);
  }
  const auto status = write();
  ASSERT_TRUE(status) << status.error().what();
  const Fd upper = open_dir(temp_.path("upper"));
  EXPECT_TRUE(open_beneath(upper.get(), path, O_RDONLY));
  EXPECT_TRUE(empty_directory(host_os(), upper.get()));
  EXPECT_TRUE(fs::is_empty(temp_.path("upper")));
}

}  // namespace
}  // namespace ovl
