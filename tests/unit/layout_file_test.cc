// SPDX-License-Identifier: BSD-3-Clause
//
// The layout outlives the server: a stack that was kept is the one that was
// scanned, without a scan; what is not the same is refused by its name.
#include "fsengine/overlay/layout_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <random>

#include "fsengine/overlay/file_reader.h"
#include "images/image.h"
#include "tests/support/checked_bytes.h"
#include "tests/support/stopping_os.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tree_text.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<Parameter> kParameters{{"type", "ext2"}, {"label", ""}};

class LayoutFile : public ::testing::Test {
 protected:
  LayoutFile() {
    for (const char* dir : {"top/d", "base/d/sub", "data", "upper/u", "state"})
      temp_.dir(dir);
    put("top/d/first", "one");
    put("base/d/first", "hidden");
    put("base/d/sub/deep", "deep down");
    put("base/file", std::string(10'000, 'f'));
    put("upper/u/new", "new");
    fs::create_symlink("where", temp_.path("top/link"));
    fs::create_hard_link(temp_.path("top/d/first"), temp_.path("top/again"));
    fs::resize_file(temp_.path("base/file"), 1 << 20);
    EXPECT_EQ(::mkfifo(temp_.path("upper/fifo").c_str(), 0600), 0);
    options_.lowers = {temp_.path("top"), temp_.path("base")};
    options_.data_only = {temp_.path("data")};
    options_.upper = temp_.path("upper");
    options_.family = XattrFamily::kUser;
    state_ = open_dir(temp_.path("state"));
  }

  void put(const std::string& path, const std::string& content) {
    write_whole(temp_.path(path), content);
  }

  std::unique_ptr<Stack> scan() {
    auto stack = Stack::open(options_);
    EXPECT_TRUE(stack) << stack.error().what();
    return stack ? std::move(*stack) : nullptr;
  }

  void keep(const Stack& stack, uint64_t fingerprint = 5) {
    const Status written = write_layout(
        host_os(), state_.get(), {kParameters, 1 << 24, fingerprint}, stack);
    ASSERT_TRUE(written) << written.error().what();
  }

  Result<std::unique_ptr<Stack>> restore() {
    auto saved = OVL_TRY(read_layout(state_.get()));
    return Stack::restore(std::move(saved.stack));
  }
  std::string restore_error() {
    const auto stack = restore();
    return stack ? "none" : stack.error().what();
  }

  std::string file() const { return temp_.path("state/layout"); }

  TempDir temp_;
  StackOptions options_;
  Fd state_;
};

uint64_t fingerprint_of(const Stack& stack) {
  ImageOptions options;
  options.size = {SizeRequest::Kind::kTotal, 1 << 24};
  const auto image = Image::build(stack.lower(), stack.merged(), options);
  return image ? (*image)->fingerprint() : 0;
}

std::string content_of(const Stack& stack, const std::string& path) {
  FileReader files(stack, [](const std::string&) {});
  const NodeId id = find_node(stack.merged(), path);
  std::string bytes(stack.pool()[id].size, '\0');
  const auto read = files.read(id, 0, std::as_writable_bytes(std::span(bytes)));
  return read ? bytes : "error: " + read.error().what();
}

TEST_F(LayoutFile, ARestoredStackIsTheOneThatWasScanned) {
  const auto scanned = scan();
  ASSERT_NO_FATAL_FAILURE(keep(*scanned));
  const auto restored = restore();
  ASSERT_TRUE(restored) << restored.error().what();
  EXPECT_EQ(tree_text((*restored)->merged()), tree_text(scanned->merged()));
  EXPECT_EQ(tree_text((*restored)->lower()), tree_text(scanned->lower()));
  EXPECT_NE(fingerprint_of(*scanned), 0U);
  EXPECT_EQ(fingerprint_of(**restored), fingerprint_of(*scanned));
  EXPECT_EQ(content_of(**restored, "again"), "one");
  EXPECT_EQ(content_of(**restored, "d/sub/deep"), "deep down");
  EXPECT_EQ(content_of(**restored, "u/new"), "new");
}

TEST_F(LayoutFile, TheRecordComesBack) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan(), 77));
  const auto saved = read_layout(state_.get());
  ASSERT_TRUE(saved) << saved.error().what();
  EXPECT_EQ(saved->record.fingerprint, 77U);
  EXPECT_EQ(saved->record.device_bytes, 1U << 24);
  ASSERT_EQ(saved->record.parameters.size(), 2U);
  EXPECT_EQ(saved->record.parameters[0].name, "type");
  EXPECT_EQ(saved->record.parameters[0].value, "ext2");
  std::vector<std::string> paths;
  for (const LayerRecord& layer : saved->stack.layers)
    paths.push_back(layer.path);
  EXPECT_THAT(paths, ElementsAre(temp_.path("upper"), temp_.path("top"),
                                 temp_.path("base"), temp_.path("data")));
}

TEST_F(LayoutFile, ARestoredStackCanBeKeptAgain) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  const std::string first = read_whole(file());
  const auto restored = restore();
  ASSERT_TRUE(restored);
  ASSERT_NO_FATAL_FAILURE(keep(**restored));
  EXPECT_EQ(read_whole(file()), first);
}

TEST_F(LayoutFile, NodesOfAGuestAreLeftOut) {
  const auto stack = scan();
  const uint32_t scanned = stack->pool().size();
  Node guest;
  guest.origin = Origin::kGuest;
  guest.mode = S_IFREG | 0644;
  stack->pool().add(guest);
  ASSERT_NO_FATAL_FAILURE(keep(*stack));
  const auto restored = restore();
  ASSERT_TRUE(restored);
  EXPECT_EQ((*restored)->pool().size(), scanned);
}

TEST_F(LayoutFile, ARestoreLooksAtNoMoreThanTheRoots) {
  const auto scanned = scan();
  const auto before = tree_text(scanned->merged());
  ASSERT_NO_FATAL_FAILURE(keep(*scanned));
  fs::remove(temp_.path("base/d/sub/deep"));
  put("base/d/sub/late", "late");
  const auto restored = restore();
  ASSERT_TRUE(restored) << restored.error().what();
  EXPECT_EQ(tree_text((*restored)->merged()), before);
  EXPECT_THAT(content_of(**restored, "d/sub/deep"), HasSubstr("error: "));
}

// Of more blocks than a hole map can tell, 2^32; no image can show it, but it
// may lie under another file. tmpfs can hold it.
TEST_F(LayoutFile, AHiddenFileOfManyTebibytesIsNoHindrance) {
  const TempDir shared("/dev/shm");
  shared.dir("base");
  write_whole(shared.path("base/file"), "");
  const Fd fd(::open(shared.path("base/file").c_str(), O_WRONLY));
  constexpr off_t k16TiB = off_t{1} << 44;
  if (::ftruncate(fd.get(), 2 * k16TiB) != 0)
    GTEST_SKIP() << "/dev/shm cannot hold a file of 32 TiB";
  ASSERT_EQ(::pwrite(fd.get(), "a", 1, 5 * 4096), 1);
  ASSERT_EQ(::pwrite(fd.get(), "b", 1, k16TiB + 2 * 4096), 1);
  put("top/file", "over it");
  options_.lowers[1] = shared.path("base");
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  EXPECT_EQ(restore_error(), "none");
}

TEST_F(LayoutFile, AnotherDirectoryIsRefusedByItsPath) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  for (const std::string name : {"top", "base", "data", "upper"}) {
    const std::string path = temp_.path(name);
    fs::rename(path, path + ".old");
    fs::create_directory(path);
    fs::last_write_time(path, fs::last_write_time(path + ".old"));
    const std::string parameter = name == "upper" ? "upperdir: " : "lowerdir: ";
    EXPECT_THAT(restore_error(), HasSubstr(parameter + path + ": not the"));
    fs::remove_all(path);
    EXPECT_THAT(restore_error(), HasSubstr(parameter + path + ": No such"));
    fs::rename(path + ".old", path);
    EXPECT_EQ(restore_error(), "none");
  }
}

TEST_F(LayoutFile, ALowerWhoseNamesChangedIsRefusedByItsPath) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  const auto later = fs::file_time_type::clock::now() + std::chrono::hours(1);
  fs::last_write_time(temp_.path("upper"), later);
  fs::last_write_time(temp_.path("data"), later);
  EXPECT_EQ(restore_error(), "none");
  fs::last_write_time(temp_.path("base"), later);
  EXPECT_THAT(restore_error(),
              HasSubstr("lowerdir: " + temp_.path("base") + ": changed"));
}

TEST_F(LayoutFile, TheFirstDifferenceIsNamed) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  const auto saved = read_layout(state_.get());
  ASSERT_TRUE(saved);
  const auto difference = [&](const StackOptions& layers,
                              const std::vector<Parameter>& parameters) {
    const Status same = check_wanted(*saved, layers, parameters);
    return same ? "none" : same.error().what();
  };
  EXPECT_EQ(difference(options_, kParameters), "none");
  EXPECT_EQ(difference(options_, {{"type", "ext4"}, {"label", ""}}),
            "type: is ext4, but the device that is kept was made with ext2");
  EXPECT_EQ(difference(options_, {{"type", "ext2"}, {"label", "x"}}),
            "label: is x, but the device that is kept was made with (none)");
  EXPECT_THAT(difference(options_, {{"label", ""}}),
              HasSubstr("type: is (none)"));
  EXPECT_THAT(
      difference(options_, {{"type", "ext2"}, {"label", ""}, {"more", "1"}}),
      HasSubstr("more: is 1"));

  StackOptions other = options_;
  std::swap(other.lowers[0], other.lowers[1]);
  EXPECT_THAT(difference(other, kParameters),
              HasSubstr("lowerdir: is " + temp_.path("base") + ", but"));
  other = options_;
  other.lowers.push_back("/more");
  EXPECT_THAT(difference(other, kParameters), HasSubstr("lowerdir: is /more"));
  other = options_;
  other.data_only.clear();
  EXPECT_THAT(difference(other, kParameters), HasSubstr("lowerdir: is (none)"));
  other = options_;
  other.upper = "/elsewhere";
  EXPECT_THAT(difference(other, kParameters),
              HasSubstr("upperdir: is /elsewhere"));
}

TEST_F(LayoutFile, RemovedItIsNoLayout) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  write_whole(file() + ".new", "left");
  ASSERT_TRUE(remove_layout(host_os(), state_.get()));
  ASSERT_TRUE(remove_layout(host_os(), state_.get()));
  EXPECT_TRUE(fs::is_empty(temp_.path("state")));
  const auto saved = read_layout(state_.get());
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code(), ENOENT);
}

TEST_F(LayoutFile, AnUnknownVersionIsRefusedAndLeftAlone) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  std::string bytes = read_whole(file());
  bytes[8] = 2;
  bytes = resealed(std::move(bytes));
  write_whole(file(), bytes);
  const auto saved = read_layout(state_.get());
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().code(), EPROTO);
  EXPECT_EQ(saved.error().what(), "layout: of version 2, which is not known");
  EXPECT_EQ(read_whole(file()), bytes);
}

TEST_F(LayoutFile, NoChangedByteGoesUnseen) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  const std::string good = read_whole(file());
  for (size_t at = 0; at < good.size(); ++at)
    for (const int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 1 << bit);
      write_whole(file(), bad);
      const auto saved = read_layout(state_.get());
      ASSERT_FALSE(saved) << "byte " << at << " bit " << bit;
      EXPECT_THAT(saved.error().code(), AnyOf(EUCLEAN, EPROTO));
      EXPECT_THAT(saved.error().what(), HasSubstr("layout: "));
    }
}

TEST_F(LayoutFile, NoLengthButItsOwnIsRead) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  const std::string good = read_whole(file());
  for (size_t length = 0; length < good.size(); ++length) {
    write_whole(file(), good.substr(0, length));
    const auto saved = read_layout(state_.get());
    ASSERT_FALSE(saved) << length << " bytes";
    EXPECT_EQ(saved.error().code(), EUCLEAN);
    EXPECT_THAT(saved.error().what(), HasSubstr("layout: "));
  }
  write_whole(file(), resealed(good + "x"));
  const auto saved = read_layout(state_.get());
  ASSERT_FALSE(saved);
  EXPECT_THAT(saved.error().what(), HasSubstr("layout: damaged: too long"));
}

// A layer's index is its place in the file: upper, lowers, data-only layers.
TEST_F(LayoutFile, LayersInAnotherOrderAreDamage) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  const std::string good = read_whole(file());
  const size_t role = good.find(temp_.path("upper")) - 2 * sizeof(uint32_t);
  for (const char other : {'\1', '\2', '\3'}) {
    std::string bad = good;
    bad[role] = other;
    write_whole(file(), resealed(std::move(bad)));
    const auto saved = read_layout(state_.get());
    ASSERT_FALSE(saved);
    EXPECT_EQ(saved.error().code(), EUCLEAN);
  }
}

// The trees in it have a test of their own, tree_codec_test.
TEST_F(LayoutFile, DamageUnderAFittingChecksumIsRefusedOrHarmless) {
  ASSERT_NO_FATAL_FAILURE(keep(*scan()));
  const std::string good = read_whole(file());
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << "\n";
  unsigned refused = 0;
  for (const uint64_t seed : {uint64_t{1}, fresh}) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 500; ++i) {
      std::string bad = good;
      bad[kStartBytes + random() % 400] = static_cast<char>(random() % 256);
      write_whole(file(), resealed(std::move(bad)));
      const auto stack = restore();
      EXPECT_TRUE(!stack || !tree_text((*stack)->merged()).empty());
      refused += stack ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 100U);
}

TEST_F(LayoutFile, WritingStoppedAnywhereLeavesTheOldOrTheNew) {
  const auto stack = scan();
  StoppingOs os;
  const auto write = [&](uint64_t fingerprint) {
    return write_layout(os, state_.get(), {kParameters, 1 << 24, fingerprint},
                        *stack);
  };
  ASSERT_TRUE(write(1));
  const uint64_t operations = os.count();
  ASSERT_GE(operations, 6U);
  for (uint64_t stop = 0; stop < operations; ++stop) {
    SCOPED_TRACE("stopped at " + std::to_string(stop));
    os.reset();
    ASSERT_TRUE(write(1));
    os.reset();
    os.stop_at(stop);
    ASSERT_FALSE(write(2));
    const auto saved = read_layout(state_.get());
    ASSERT_TRUE(saved) << saved.error().what();
    const bool renamed = stop + 1 >= operations;
    EXPECT_EQ(saved->record.fingerprint, renamed ? 2U : 1U);
  }
}

}  // namespace
}  // namespace ovl
