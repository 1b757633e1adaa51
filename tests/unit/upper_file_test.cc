// SPDX-License-Identifier: BSD-3-Clause
//
// The record of upper goes to a file and comes back; what does not come out of
// a writer is refused, or harmless.
#include "fsengine/overlay/upper_file.h"

#include <functional>
#include <iostream>
#include <random>

#include "tests/support/stopping_os.h"
#include "tests/support/upper_fixture.h"

namespace ovl {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr uint32_t kNodes = 100;

// Everything that a reader of the file may do with it.
void use(const UpperRecord& record) {
  for (uint32_t i = 0; i < record.objects.size(); ++i)
    ASSERT_EQ(record.find(record.path_of(i)), i);
}

// The file, small enough to damage it everywhere.
class UpperFile : public Upper {
 protected:
  UpperFile() {
    EXPECT_TRUE(write_upper(host_os(), state_.get(), collect()));
    good_ = read_whole(file());
  }

  Result<UpperRecord> read(const std::string& bytes) {
    write_whole(file(), bytes);
    return read_upper(state_.get(), kNodes);
  }

  std::string error_of(const UpperRecord& record) {
    EXPECT_TRUE(write_upper(host_os(), state_.get(), record));
    const auto kept = read_upper(state_.get(), kNodes);
    EXPECT_TRUE(kept || kept.error().code() == EUCLEAN);
    return kept ? "none" : kept.error().what();
  }

  std::string good_;
};

TEST_F(UpperFile, WhatIsKeptComesBack) {
  UpperRecord record = collect();
  record.objects[*record.find("file")].base = NodeId{42};
  ASSERT_TRUE(write_upper(host_os(), state_.get(), record));
  const auto kept = read_upper(state_.get(), kNodes);
  ASSERT_TRUE(kept) << kept.error().what();
  ASSERT_EQ(kept->objects.size(), record.objects.size());
  EXPECT_EQ(find_difference(*kept, record), std::nullopt);
  EXPECT_EQ(kept->objects[*kept->find("file")].base, NodeId{42});
  EXPECT_EQ(kept->objects[*kept->find("kept")].base, kNoNode);
}

TEST_F(UpperFile, RemovedItIsNoRecord) {
  write_whole(file() + ".new", "left");
  ASSERT_TRUE(remove_upper(host_os(), state_.get()));
  ASSERT_TRUE(remove_upper(host_os(), state_.get()));
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path("state")));
  const auto record = read_upper(state_.get(), kNodes);
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code(), ENOENT);
}

TEST_F(UpperFile, AnUnknownVersionIsRefused) {
  std::string bad = good_;
  bad[8] = 9;
  const auto record = read(resealed(bad));
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code(), EPROTO);
  EXPECT_EQ(record.error().what(), "upper: of version 9, which is not known");
}

TEST_F(UpperFile, NoChangedByteGoesUnseen) {
  for (size_t at = 0; at < good_.size(); ++at) {
    std::string bad = good_;
    bad[at] = static_cast<char>(bad[at] ^ 1 << at % 8);
    const auto record = read(bad);
    ASSERT_FALSE(record) << "byte " << at;
    EXPECT_THAT(record.error().code(), AnyOf(EUCLEAN, EPROTO));
    EXPECT_THAT(record.error().what(), HasSubstr("upper: "));
  }
}

TEST_F(UpperFile, NoLengthButItsOwnIsRead) {
  for (size_t length = 0; length < good_.size(); ++length) {
    const auto record = read(good_.substr(0, length));
    ASSERT_FALSE(record) << length << " bytes";
    EXPECT_EQ(record.error().code(), EUCLEAN);
  }
  EXPECT_FALSE(read(resealed(good_ + "x")));
  EXPECT_TRUE(read(good_));
}

TEST_F(UpperFile, DamageUnderAFittingChecksumIsRefusedOrHarmless) {
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << "\n";
  unsigned refused = 0;
  unsigned accepted = 0;
  for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, fresh}) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 1000; ++i) {
      std::string bad = good_;
      const size_t content = bad.size() - kStartBytes - kChecksumBytes;
      for (uint64_t changes = random() % 3 + 1; changes > 0; --changes)
        bad[kStartBytes + random() % content] =
            static_cast<char>(random() % 4 == 0 ? random() : random() % 16);
      const auto record = read(resealed(std::move(bad)));
      ++(record ? accepted : refused);
      if (!record)
        ASSERT_EQ(record.error().code(), EUCLEAN);
      else
        use(*record);
    }
  }
  EXPECT_GT(refused, 300U);
  EXPECT_GT(accepted, 300U);
}

TEST_F(UpperFile, EachPromiseBrokenIsDamage) {
  using Break = std::function<void(UpperRecord&)>;
  const std::vector<std::pair<const char*, Break>> breaks{
      {"no objects", [](UpperRecord& r) { r.objects.clear(); }},
      {"root is a file",
       [](UpperRecord& r) { r.objects[0].mode = S_IFREG | 0644; }},
      {"root has a name",
       [](UpperRecord& r) { r.objects[0].name = r.objects[1].name; }},
      {"root elsewhere", [](UpperRecord& r) { r.objects[0].parent = 1; }},
      {"no type", [](UpperRecord& r) { r.objects[2].mode = 0644; }},
      {"too much mode", [](UpperRecord& r) { r.objects[2].mode |= 0x10000; }},
      {"unsorted",
       [](UpperRecord& r) { std::swap(r.objects[3], r.objects[4]); }},
      {"twice", [](UpperRecord& r) { r.objects[4] = r.objects[3]; }},
      {"in itself", [](UpperRecord& r) { r.objects[10].parent = 10; }},
      {"in a later one", [](UpperRecord& r) { r.objects[10].parent = 11; }},
      {"in a file", [](UpperRecord& r) { r.objects[10].parent = 8; }},
      {"not a name",
       [](UpperRecord& r) { r.objects[10].name = r.names.add("a/b"); }},
      {"not a string", [](UpperRecord& r) { r.objects[10].name = StrRef{1}; }},
      {"not a node",
       [](UpperRecord& r) { r.objects[10].base = NodeId{kNodes}; }}};
  EXPECT_EQ(error_of(collect()), "none");
  for (const auto& [what, change] : breaks) {
    SCOPED_TRACE(what);
    UpperRecord record = collect();
    ASSERT_EQ(record.objects.size(), 11U);
    change(record);
    EXPECT_THAT(error_of(record), HasSubstr("upper: damaged: "));
  }
}

TEST_F(UpperFile, WritingStoppedAnywhereLeavesTheOldOrTheNew) {
  StoppingOs os;
  UpperRecord record = collect();
  const auto write = [&](uint32_t base) {
    record.objects[0].base = NodeId{base};
    return write_upper(os, state_.get(), record);
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
    const auto kept = read_upper(state_.get(), kNodes);
    ASSERT_TRUE(kept) << kept.error().what();
    const bool renamed = stop + 1 >= operations;
    EXPECT_EQ(kept->objects[0].base, NodeId{renamed ? 2U : 1U});
  }
}

}  // namespace
}  // namespace ovl
