// SPDX-License-Identifier: BSD-3-Clause
//
// A checked file is there whole, or as it was before; what is not whole is not
// read.
#include "fsengine/base/checked_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "tests/support/checked_bytes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wrap_os.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr FileKind kKind{
    "thing", "thing.new", {'t', 'h', 'e', 't', 'h', 'i', 'n', 'g'}, 3};

class CheckedFile : public ::testing::Test {
 protected:
  Status write(Os& os, const std::string& text) {
    CheckedWriter out = OVL_TRY(CheckedWriter::create(os, fd_.get(), kKind));
    OVL_TRY(out.put(uint32_t{7}));
    OVL_TRY(out.put_string(text));
    return out.commit();
  }

  Result<std::string> read() {
    CheckedReader in = OVL_TRY(CheckedReader::open(fd_.get(), kKind));
    if (OVL_TRY(in.get<uint32_t>()) != 7)
      return damaged("seven");
    auto text = OVL_TRY(in.get_string());
    OVL_TRY(in.finish());
    return text;
  }
  std::string error() {
    const auto text = read();
    return text ? "none" : text.error().what();
  }
  std::string path() const { return temp_.path(kKind.name); }

  TempDir temp_;
  Fd fd_ = open_dir(temp_.path());
};

TEST_F(CheckedFile, WhatWasPutIsGot) {
  // More than a buffer, and no multiple of one.
  for (const size_t length : {0U, 5U, (1U << 20) - 24, 3'456'789U}) {
    std::string text(length, 'x');
    for (size_t i = 0; i < length; i += 1000)
      text[i] = static_cast<char>(i / 1000);
    ASSERT_TRUE(write(host_os(), text));
    const auto got = read();
    ASSERT_TRUE(got) << got.error().what();
    EXPECT_TRUE(*got == text) << length;
  }
}

TEST_F(CheckedFile, ItsBytesAreAsSpecified) {
  ASSERT_TRUE(write(host_os(), "ab"));
  const std::string expected("thething\3\0\0\0\0\0\0\0\7\0\0\0\2\0\0\0ab", 26);
  EXPECT_EQ(read_whole(path()), resealed(expected + "checksum"));
}

TEST_F(CheckedFile, ALengthBeyondTheEndTakesNoMemory) {
  ASSERT_TRUE(write(host_os(), "ab"));
  std::string bad = read_whole(path());
  bad.replace(20, 4, "\xff\xff\xff\xff");
  write_whole(path(), resealed(bad));
  EXPECT_EQ(error(), "damaged: too short");
}

TEST_F(CheckedFile, WhatIsLeftUnreadIsDamage) {
  ASSERT_TRUE(write(host_os(), "ab"));
  write_whole(path(), resealed(read_whole(path()) + "more"));
  EXPECT_EQ(error(), "damaged: too long");
}

TEST_F(CheckedFile, AnotherKindIsRefused) {
  ASSERT_TRUE(write(host_os(), "ab"));
  std::string bad = read_whole(path());
  bad[0] = 'T';
  write_whole(path(), resealed(bad));
  EXPECT_EQ(error(), "thing: not a file of this kind");
}

TEST_F(CheckedFile, WhatIsNoFileIsNotRead) {
  fs::create_directory(path());
  EXPECT_THAT(error(), HasSubstr("thing: damaged"));
  fs::remove(path());
  ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
  EXPECT_THAT(error(), HasSubstr("thing: damaged"));
  fs::remove(path());
  fs::create_symlink("/dev/zero", path());
  EXPECT_THAT(error(), HasSubstr("thing: open: "));
}

// What a loss of power keeps cannot be seen here; the order that it needs can.
class OrderOs : public WrapOs {
 public:
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    calls += "write ";
    return WrapOs::pwrite(fd, bytes, offset);
  }
  Status fsync(int fd) override {
    struct stat st {};
    calls += ::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? "sync-directory "
                                                          : "sync ";
    return WrapOs::fsync(fd);
  }
  Status rename(const At& from, const At& to, Rename how) override {
    calls += "rename ";
    return WrapOs::rename(from, to, how);
  }

  std::string calls;
};

TEST_F(CheckedFile, ItIsOnDiskBeforeItTakesItsPlaceAndBeforeItIsTold) {
  OrderOs os;
  ASSERT_TRUE(write(os, "ab"));
  EXPECT_EQ(os.calls, "write write sync rename sync-directory ");
}

// A full disk at the `fail_at`th write, or a sync that fails.
class FullOs : public WrapOs {
 public:
  Status pwrite(int fd, std::span<const std::byte> bytes,
                uint64_t offset) override {
    if (fail_at-- == 0)
      return system_error(ENOSPC, "pwrite");
    return WrapOs::pwrite(fd, bytes, offset);
  }
  Status fsync(int fd) override {
    if (fail_at-- == 0)
      return system_error(EIO, "fsync");
    return WrapOs::fsync(fd);
  }

  int fail_at = 0;
};

TEST_F(CheckedFile, AnErrorLeavesTheOldOneAndNamesTheFile) {
  ASSERT_TRUE(write(host_os(), "old"));
  const std::string large(3 << 20, 'n');
  int failures = 0;
  for (int at = 0;; ++at) {
    FullOs os;
    os.fail_at = at;
    const Status written = write(os, large);
    if (written)
      break;
    ++failures;
    EXPECT_THAT(written.error().what(), HasSubstr("thing"));
    const auto text = read();
    ASSERT_TRUE(text) << text.error().what();
    // Of the last step, the sync of the directory, it is not known.
    EXPECT_TRUE(*text == "old" || (at == 6 && *text == large)) << at;
  }
  EXPECT_EQ(failures, 7);
}

}  // namespace
}  // namespace ovl
