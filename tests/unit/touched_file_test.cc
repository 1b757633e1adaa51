// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/touched_file.h"

#include <fcntl.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>
#include <xxhash.h>

#include "fsengine/base/fd.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wrap_os.h"

namespace ovl {
namespace {

class TouchedFileTest : public ::testing::Test {
 protected:
  Touched read() const {
    const auto touched = TouchedFile::read(dir_.get());
    EXPECT_TRUE(touched) << touched.error().what();
    return touched ? *touched : Touched();
  }
  std::string bytes() const {
    std::ifstream file(temp_.path("touched"), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put(const std::string& bytes) const {
    std::ofstream(temp_.path("touched"), std::ios::binary) << bytes;
  }
  // A batch as FORMAT.md has it.
  static std::string batch(char version, const std::string& entries) {
    std::string head = "ovltouch" + std::string{version, 0, 0, 0};
    const std::array<uint64_t, 1> hash = {
        XXH3_64bits(entries.data(), entries.size())};
    head += {static_cast<char>(entries.size()), 0, 0, 0};
    head.append(reinterpret_cast<const char*>(hash.data()), sizeof(hash));
    return head + entries;
  }
  static std::string entry(char kind, const std::string& content) {
    return std::string{kind, static_cast<char>(content.size()), 0, 0} + content;
  }

  TempDir temp_;
  Fd dir_{::open(temp_.path("").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  WrapOs os_;
};

TEST_F(TouchedFileTest, AllThatWasAppendedIsRead) {
  TouchedFile file(os_, dir_.get());
  ASSERT_TRUE(file.append({{"tree"}, {"", "dir/object"}, {7}}));
  ASSERT_TRUE(file.append({{}, {}, {UINT64_MAX}}));
  const Touched touched = read();
  EXPECT_EQ(touched.trees, (std::vector<std::string>{"tree"}));
  EXPECT_EQ(touched.objects, (std::vector<std::string>{"", "dir/object"}));
  EXPECT_EQ(touched.files, (std::vector<uint64_t>{7, UINT64_MAX}));
}

TEST_F(TouchedFileTest, ABatchIsAsSpecified) {
  TouchedFile file(os_, dir_.get());
  ASSERT_TRUE(file.append({{"tree"}, {"object"}, {0x102}}));
  EXPECT_EQ(bytes(),
            batch(2, entry('T', "tree") + entry('O', "object") +
                         entry('I', std::string("\2\1\0\0\0\0\0\0", 8))));
}

TEST_F(TouchedFileTest, OneOfBeforeIsRead) {
  put(batch(1, entry('T', "tree") + entry('O', "object")));
  TouchedFile file(os_, dir_.get());
  ASSERT_TRUE(file.append({{}, {}, {7}}));
  const Touched touched = read();
  EXPECT_EQ(touched.trees, (std::vector<std::string>{"tree"}));
  EXPECT_EQ(touched.objects, (std::vector<std::string>{"object"}));
  EXPECT_EQ(touched.files, (std::vector<uint64_t>{7}));
}

TEST_F(TouchedFileTest, OneOfALaterVersionIsRefused) {
  put(batch(3, entry('T', "tree")));
  const auto touched = TouchedFile::read(dir_.get());
  ASSERT_FALSE(touched);
  EXPECT_EQ(touched.error().code(), EPROTO);
}

TEST_F(TouchedFileTest, WhatIsNoBatchMeansNothing) {
  const std::string whole = batch(2, entry('T', "tree"));
  for (const std::string& bad :
       {batch(2, entry('I', "short")), batch(2, "T"),
        batch(2, std::string{'T', 9, 0, 0} + "short"),
        whole.substr(0, whole.size() - 1), whole.substr(0, 10)}) {
    put(whole + bad);
    EXPECT_EQ(read().trees, (std::vector<std::string>{"tree"}));
    EXPECT_TRUE(read().files.empty());
  }
}

}  // namespace
}  // namespace ovl
