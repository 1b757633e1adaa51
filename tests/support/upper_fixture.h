// SPDX-License-Identifier: BSD-3-Clause
//
// What the tests of upper's record share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "fsengine/overlay/upper_record.h"
#include "tests/support/checked_bytes.h"
#include "tests/support/temp_dir.h"

namespace ovl {

/// An upper with an object of each kind that needs no privilege.
class Upper : public ::testing::Test {
 protected:
  Upper() {
    for (const char* dir : {"upper/d/sub", "upper/empty", "state"})
      temp_.dir(dir);
    put("d/sub/deep", "deep");
    put("file", "file");
    put("kept", "kept");
    std::filesystem::create_hard_link(in("file"), in("d/second"));
    std::filesystem::create_symlink("file", in("link"));
    EXPECT_EQ(::mkfifo(in("fifo").c_str(), 0600), 0);
    EXPECT_EQ(::mknod(in("d/gone").c_str(), S_IFCHR, 0), 0);
    state_ = open_dir(temp_.path("state"));
  }

  std::string in(const std::string& path) const {
    return temp_.path("upper/" + path);
  }
  void put(const std::string& path, const std::string& content) const {
    write_whole(in(path), content);
  }

  UpperRecord collect() const {
    auto record = collect_upper(open_dir(in("")).get());
    EXPECT_TRUE(record) << record.error().what();
    return record ? std::move(*record) : UpperRecord();
  }

  // Kept now, to be compared once the clock of files has moved on.
  UpperRecord keep() const {
    UpperRecord record = collect();
    struct stat first {};
    struct stat st {};
    const std::string probe = temp_.path("probe");
    write_whole(probe, "");
    EXPECT_EQ(::stat(probe.c_str(), &first), 0);
    do {
      EXPECT_EQ(::chmod(probe.c_str(), 0600), 0);
      EXPECT_EQ(::stat(probe.c_str(), &st), 0);
    } while (st.st_ctim.tv_sec == first.st_ctim.tv_sec &&
             st.st_ctim.tv_nsec == first.st_ctim.tv_nsec);
    return record;
  }

  std::string difference(const UpperRecord& kept) const {
    const auto found = find_difference(kept, collect());
    if (!found)
      return "none";
    const char* const kinds[] = {"added ", "removed ", "changed "};
    return kinds[static_cast<int>(found->kind)] + found->path;
  }

  std::string file() const { return temp_.path("state/upper"); }

  TempDir temp_;
  Fd state_;
};

}  // namespace ovl
