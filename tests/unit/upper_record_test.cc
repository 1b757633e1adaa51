// SPDX-License-Identifier: BSD-3-Clause
//
// Upper as we left it is known again, and whatever somebody else does to it is
// seen, with its path.
#include "fsengine/overlay/upper_record.h"

#include <functional>
#include <iostream>
#include <random>

#include "fsengine/base/paths.h"
#include "tests/support/upper_fixture.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::ElementsAre;

TEST_F(Upper, EveryNameIsAnObject) {
  const UpperRecord record = collect();
  std::vector<std::string> paths;
  for (uint32_t i = 0; i < record.objects.size(); ++i)
    paths.push_back(record.path_of(i));
  EXPECT_THAT(paths,
              ElementsAre("", "d", "empty", "fifo", "file", "kept", "link",
                          "d/gone", "d/second", "d/sub", "d/sub/deep"));
  for (uint32_t i = 0; i < paths.size(); ++i)
    EXPECT_EQ(record.find(paths[i]), i);
  for (const char* missing : {"x", "d/x", "zz", "file/x", "d/sub/deep/x"})
    EXPECT_EQ(record.find(missing), std::nullopt) << missing;
}

TEST_F(Upper, LeftAloneItIsUnchanged) {
  const UpperRecord kept = keep();
  EXPECT_EQ(difference(kept), "none");
}

TEST_F(Upper, ReadingDoesNotChangeIt) {
  const UpperRecord kept = keep();
  EXPECT_EQ(read_whole(in("file")), "file");
  EXPECT_EQ(collect().objects.size(), kept.objects.size());
  EXPECT_EQ(difference(kept), "none");
}

// As attributes of ours on it do.
TEST_F(Upper, TheChangeTimeOfTheRootMayChange) {
  const UpperRecord kept = keep();
  ASSERT_EQ(::chmod(in("").c_str(), 0700), 0);
  ASSERT_EQ(::chmod(in("").c_str(), kept.objects[0].mode & 07777), 0);
  EXPECT_EQ(difference(kept), "none");
}

TEST_F(Upper, EachChangeIsSeenByItsPath) {
  const std::vector<std::pair<std::string, std::function<void()>>> changes{
      {"changed kept", [&] { put("kept", "kept longer"); }},
      {"changed kept",
       [&] {  // of the same size, and the time set back
         const auto time = fs::last_write_time(in("kept"));
         put("kept", "KEPTKEPTKEP");
         fs::last_write_time(in("kept"), time);
       }},
      {"changed fifo", [&] { ::chmod(in("fifo").c_str(), 0640); }},
      {"added d/sub/new", [&] { put("d/sub/new", ""); }},
      {"removed d/sub/new", [&] { fs::remove(in("d/sub/new")); }},
      {"changed d/sub",
       [&] {
         put("d/sub/passing", "");
         fs::remove(in("d/sub/passing"));
       }},
      {"added also", [&] { fs::rename(in("kept"), in("also")); }},
      {"removed also", [&] { fs::rename(in("also"), in("kept")); }},
      {"changed kept",
       [&] {
         fs::copy(in("kept"), in("copy"));
         fs::rename(in("copy"), in("kept"));
       }},
      {"changed file", [&] { fs::create_hard_link(in("file"), in("third")); }},
      {"changed link",
       [&] {
         fs::remove(in("link"));
         fs::create_symlink("kept", in("link"));
       }},
      {"changed empty",
       [&] {
         fs::remove(in("empty"));
         put("empty", "");
       }},
      {"removed d/gone", [&] { fs::remove(in("d/gone")); }},
      {"added d/other", [&] { ::mknod(in("d/other").c_str(), S_IFCHR, 0); }},
      {"added e", [&] { fs::create_directory(in("e")); }},
      {"added e/f", [&] { put("e/f", ""); }},
      {"removed e", [&] { fs::remove_all(in("e")); }},
      {"changed ", [&] { ::chmod(in("").c_str(), 0711); }},
      {"changed ", [&] {
         put("passing", "");
         fs::remove(in("passing"));
       }}};
  for (size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE("change " + std::to_string(i));
    const UpperRecord kept = keep();
    changes[i].second();
    EXPECT_EQ(difference(kept), changes[i].first);
  }
}

TEST_F(Upper, AnotherUpperIsAChange) {
  const UpperRecord kept = keep();
  const auto time = fs::last_write_time(in(""));
  fs::rename(in(""), temp_.path("before"));
  fs::create_directory(in(""));
  for (const auto& entry : fs::directory_iterator(temp_.path("before")))
    fs::rename(entry.path(), in(entry.path().filename()));
  fs::last_write_time(in(""), time);
  EXPECT_EQ(difference(kept), "changed ");
}

// A directory that bars us is recorded without what is in it.
TEST_F(Upper, ADirectoryThatBarsUsIsNoError) {
  fs::permissions(in("d/sub"), fs::perms::none);
  const UpperRecord record = collect();
  fs::permissions(in("d/sub"), fs::perms::owner_all);
  EXPECT_NE(record.find("d/sub"), std::nullopt);
  EXPECT_EQ(record.find("d/sub/deep").has_value(), ::geteuid() == 0);
}

// One change somewhere in a tree of some hundred objects.
class UpperRandom : public Upper {
 protected:
  uint64_t below(uint64_t limit) { return random_() % limit; }

  void run(uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_.seed(seed);
    std::vector<std::string> dirs{"tree" + std::to_string(seed)};
    std::vector<std::string> files;
    fs::create_directory(in(dirs[0]));
    for (int i = 0; i < 200; ++i) {
      const std::string path = join_path(dirs[below(dirs.size())], name(i));
      const bool directory = below(4) == 0;
      (directory ? dirs : files).push_back(path);
      if (directory)
        fs::create_directory(in(path));
      else
        put(path, path);
    }
    for (int i = 0; i < 40; ++i)
      change(files);
  }

  std::string name(int i) {
    return std::string(1, static_cast<char>('a' + below(26))) +
           std::to_string(i);
  }

  void change(std::vector<std::string>& files) {
    std::string& path = files[below(files.size())];
    const UpperRecord kept = keep();
    const std::string beside = path + "+" + std::to_string(++changes_);
    switch (below(4)) {
      case 0:
        put(path, path + "!");
        EXPECT_EQ(difference(kept), "changed " + path);
        break;
      case 1:
        ::chmod(in(path).c_str(), static_cast<mode_t>(below(0100) | 0600));
        EXPECT_EQ(difference(kept), "changed " + path);
        break;
      case 2:
        put(beside, "");
        EXPECT_EQ(difference(kept), "added " + beside);
        break;
      default:
        fs::rename(in(path), in(beside));
        EXPECT_THAT(difference(kept),
                    AnyOf("added " + beside, "removed " + path));
        path = beside;
    }
  }

  std::mt19937_64 random_;
  unsigned changes_ = 0;
};

TEST_F(UpperRandom, AnyChangeIsFound) {
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << "\n";
  for (const uint64_t seed : {uint64_t{1}, fresh})
    run(seed);
}

}  // namespace
}  // namespace ovl
