// SPDX-License-Identifier: BSD-3-Clause
//
// Stores to a mapped file, and what becomes of those that the host cannot do.
#include "fsengine/base/file_mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "fsengine/base/guarded_copy.h"
#include "fsengine/base/os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kSize = 4 * kPage;

class FileMappingTest : public ::testing::Test {
 protected:
  FileMappingTest() {
    EXPECT_EQ(::ftruncate(file_.get(), static_cast<off_t>(kSize)), 0);
  }
  Status store(uint64_t offset, const std::string& text) {
    return host_os().store(mapping_, offset, std::as_bytes(std::span(text)));
  }
  std::string read(uint64_t offset, size_t size) const {
    std::string text(size, '?');
    EXPECT_EQ(
        ::pread(file_.get(), text.data(), size, static_cast<off_t>(offset)),
        static_cast<ssize_t>(size));
    return text;
  }

  TempDir temp_;
  Fd file_{
      ::open(temp_.path("file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  FileMapping mapping_ = host_os().map(file_.get(), kSize).value();
};

TEST_F(FileMappingTest, WhatIsStoredIsInTheFile) {
  ASSERT_TRUE(store(kPage + 100, "stored"));
  EXPECT_EQ(read(kPage + 99, 8), std::string("\0stored\0", 8));
  ASSERT_EQ(::pwrite(file_.get(), "R", 1, kPage + 102), 1);
  ASSERT_TRUE(store(kPage + 105, "D"));
  EXPECT_EQ(read(kPage + 100, 6), "stRreD");
}

// Between pages, so that the second one of them fails.
TEST_F(FileMappingTest, AStoreThatTheHostCannotDoIsAnError) {
  ASSERT_EQ(::ftruncate(file_.get(), kPage), 0);
  for (int i = 0; i < 3; ++i) {
    auto stored = store(2 * kPage + 8, "nowhere");
    ASSERT_FALSE(stored);
    EXPECT_EQ(stored.error().code(), EIO);
  }
  EXPECT_FALSE(store(kPage - 3, "between"));
  ASSERT_TRUE(store(8, "there"));
  EXPECT_EQ(read(8, 5), "there");
  ASSERT_EQ(::ftruncate(file_.get(), static_cast<off_t>(kSize)), 0);
  ASSERT_TRUE(store(2 * kPage + 8, "there again"));
  EXPECT_EQ(read(2 * kPage + 8, 11), "there again");
}

TEST_F(FileMappingTest, EachThreadGoesBackItsOwnWay) {
  ASSERT_EQ(::ftruncate(file_.get(), kPage), 0);
  std::array<int, 4> right{};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < right.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const bool is_there = (static_cast<size_t>(i) + t) % 2 == 0;
        const uint64_t at = (is_there ? 0 : kPage) + 64 * t;
        right[t] += store(at, "text").has_value() == is_there ? 1 : 0;
      }
    });
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(right, (std::array{200, 200, 200, 200}));
}

using FileMappingDeathTest = FileMappingTest;

// Of somebody else: it must not be taken for one of ours.
TEST_F(FileMappingDeathTest, OtherBusErrorsGoWhereTheyWent) {
  ASSERT_EQ(::ftruncate(file_.get(), kPage), 0);
  ASSERT_FALSE(store(kPage, "nowhere"));
  EXPECT_DEATH(
      { static_cast<volatile std::byte&>(mapping_.bytes()[kPage]) = {}; }, "");
  EXPECT_DEATH(::raise(SIGBUS), "");
}

TEST(GuardedCopy, AHandlerOfBeforeIsCalledForTheOthers) {
  const pid_t child = ::fork();
  if (child == 0) {
    struct sigaction action {};
    action.sa_sigaction = [](int, siginfo_t*, void*) { ::_exit(77); };
    action.sa_flags = SA_SIGINFO;
    std::array<std::byte, 8> to;
    const std::array<std::byte, 8> from{};
    if (::sigaction(SIGBUS, &action, nullptr) != 0 ||
        !guarded_copy(to.data(), from))
      ::_exit(1);
    ::raise(SIGBUS);
    ::_exit(2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 77);
}

// The page is the file's: nothing of this process is needed to keep it.
TEST_F(FileMappingTest, WhatIsStoredOutlivesAKill) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (store(3 * kPage, "last words"))
      ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read(3 * kPage, 10), "last words");
}

}  // namespace
}  // namespace ovl
