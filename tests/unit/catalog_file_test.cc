// SPDX-License-Identifier: BSD-3-Clause
//
// The catalog on disk: what is read back is what was decoded, damage is
// refused, and a loss of power leaves one of the points that a mark tells of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "images/decode/catalog_file.h"
#include "tests/support/decoder_fixture.h"
#include "tests/support/power_cut.h"
#include "tests/support/recording_os.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

constexpr uint64_t kNumber = 7;

class CatalogOnDisk : public DecoderFixture {
 protected:
  static Fd open_dir(const std::string& path) {
    return Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY));
  }
  std::string path() const { return temp_.path("catalog.7"); }

  // A part of what a guest does, decoded and accepted.
  CatalogDelta step(int n) {
    guest([n](GuestFs& fs) -> Status {
      switch (n) {
        case 0:
          OVL_TRY(fs.mkdir("d/sub", 0755));
          return write_text(fs, "a", 9000, "more");
        case 1:
          OVL_TRY(fs.set_xattr("a", "user.b", std::string(400, 'v')));
          return fs.rename("d/inner", "d/sub/outer");
        default:
          OVL_TRY(fs.remove_tree("deep"));
          return fs.symlink(std::string(90, 'z'), "long");
      }
    });
    const auto changes = decode();
    EXPECT_TRUE(changes.has_value()) << changes.error().what();
    return accept();
  }
  std::vector<std::byte> bytes_of(const Catalog& catalog) {
    return encode_batch(catalog, whole(catalog), {}, 0);
  }
  std::vector<std::byte> now() { return bytes_of(decoder_->catalog()); }

  // Empty when it is refused.
  std::vector<std::byte> read_back(const CatalogPoint& point,
                                   Error* error = nullptr) {
    return read_back_from(temp_.path(), point, error);
  }
  std::vector<std::byte> read_back_from(const std::string& root,
                                        const CatalogPoint& point,
                                        Error* error = nullptr) {
    const Fd dir = open_dir(root);
    Catalog catalog(base_);
    const auto file =
        CatalogFile::open(host_os(), dir.get(), kNumber, point, catalog);
    if (!file && error != nullptr)
      *error = file.error();
    return file ? bytes_of(catalog) : std::vector<std::byte>();
  }

  // Three points and the states at them.
  void write_all(Os& os) {
    step(0);
    states_.push_back(now());
    auto file = CatalogFile::create(os, dir_.get(), kNumber,
                                    decoder_->catalog(), kPoints[0]);
    ASSERT_TRUE(file.has_value()) << file.error().what();
    for (int n = 1; n < 3; ++n) {
      const CatalogDelta delta = step(n);
      states_.push_back(now());
      ASSERT_TRUE(
          (*file)->append(decoder_->catalog(), delta, kPoints[n]).has_value());
    }
  }

  static constexpr CatalogPoint kPoints[] = {{10, 1}, {20, 5}, {31, 6}};
  TempDir temp_;
  Fd dir_ = open_dir(temp_.path());
  std::vector<std::vector<std::byte>> states_;
};

TEST_F(CatalogOnDisk, EachPointReadsBack) {
  write_all(host_os());
  for (size_t n = 0; n < 3; ++n)
    EXPECT_EQ(read_back(kPoints[n]), states_[n]) << n;
}

TEST_F(CatalogOnDisk, AFileThatEndsBeforeThePointIsRefused) {
  write_all(host_os());
  Error error(0, "");
  EXPECT_TRUE(read_back({32, 6}, &error).empty());
  EXPECT_EQ(error.code(), EUCLEAN);
  EXPECT_THAT(error.what(), testing::HasSubstr("catalog.7"));
  EXPECT_TRUE(read_back({31, 7}).empty());
  EXPECT_TRUE(read_back({15, 1}).empty());
}

TEST_F(CatalogOnDisk, EveryChangedByteIsFound) {
  write_all(host_os());
  std::ifstream in(path(), std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  for (size_t at = 0; at < good.size(); at += 1 + at / 300) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    std::ofstream(path(), std::ios::binary) << bad;
    ASSERT_TRUE(read_back(kPoints[2]).empty()) << at;
  }
  for (size_t length = 0; length < good.size(); length += 1 + length / 50) {
    std::ofstream(path(), std::ios::binary) << good.substr(0, length);
    ASSERT_TRUE(read_back(kPoints[2]).empty()) << length;
  }
}

TEST_F(CatalogOnDisk, ABatchThatNoMarkToldOfIsWrittenOver) {
  write_all(host_os());
  Catalog catalog(base_);
  auto file =
      CatalogFile::open(host_os(), dir_.get(), kNumber, kPoints[1], catalog);
  ASSERT_TRUE(file.has_value()) << file.error().what();
  ASSERT_TRUE((*file)->append(catalog, {}, {25, 5}).has_value());
  EXPECT_EQ(read_back({25, 5}), states_[1]);
  EXPECT_TRUE(read_back(kPoints[2]).empty());
}

TEST_F(CatalogOnDisk, AnotherImageOrVersionIsRefused) {
  write_all(host_os());
  ImageOptions options;
  options.size = {SizeRequest::Kind::kTotal, 512 << 20};
  const auto other =
      Image::build({pool_, merged()}, {pool_, merged()}, options);
  const BaseState base(**other);
  Catalog catalog(base);
  const auto file =
      CatalogFile::open(host_os(), dir_.get(), kNumber, kPoints[0], catalog);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), ESTALE);
  EXPECT_EQ(CatalogFile::open(host_os(), dir_.get(), 8, kPoints[0], catalog)
                .error()
                .code(),
            ENOENT);
}

TEST_F(CatalogOnDisk, ItIsTimeForANewOneWhenMostOfItIsOld) {
  RecordingOs os(temp_.path());  // which syncs nothing
  step(0);
  auto file =
      CatalogFile::create(os, dir_.get(), kNumber, decoder_->catalog(), {1, 1});
  ASSERT_TRUE(file.has_value());
  const CatalogDelta all = whole(decoder_->catalog());
  uint64_t position = 1;
  while (!(*file)->is_mostly_old() && position < 100000)
    ASSERT_TRUE(
        (*file)->append(decoder_->catalog(), all, {++position, 1}).has_value());
  EXPECT_GT(position, 10U);
  EXPECT_LT(position, 100000U);
  EXPECT_EQ(read_back({position, 1}), now());
}

// A mark is written after the call that it tells of has returned. So whatever
// returned before the power went must be there, and an open changes nothing.
TEST_F(CatalogOnDisk, PowerCutsLeaveWhatAMarkMayTellOf) {
  RecordingOs os(temp_.path());
  std::vector<size_t> safe_from;  // operations after which a point is durable
  step(0);
  states_.push_back(now());
  auto file = CatalogFile::create(os, dir_.get(), kNumber, decoder_->catalog(),
                                  kPoints[0]);
  ASSERT_TRUE(file.has_value());
  safe_from.push_back(os.ops().size());
  for (int n = 1; n < 3; ++n) {
    const CatalogDelta delta = step(n);
    states_.push_back(now());
    ASSERT_TRUE(
        (*file)->append(decoder_->catalog(), delta, kPoints[n]).has_value());
    safe_from.push_back(os.ops().size());
  }
  const uint64_t fresh = std::random_device()();
  std::cout << "fresh seed " << fresh << std::endl;
  for (size_t cut = safe_from[0]; cut <= os.ops().size(); ++cut)
    for (const auto survivors : {Survivors::kAll, Survivors::kNone,
                                 Survivors::kFirstHalf, Survivors::kRandom})
      for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, fresh}) {
        TempDir left;
        PowerCut(os.ops(), cut, survivors, seed).put(left.path());
        for (size_t n = 0; n < safe_from.size() && cut >= safe_from[n]; ++n) {
          const auto found = read_back_from(left.path(), kPoints[n]);
          ASSERT_EQ(found, states_[n])
              << "cut " << cut << " point " << n << " seed " << seed;
        }
      }
}

TEST_F(CatalogOnDisk, AFailedAppendIsRepeated) {
  class FullOs : public WrapOs {
   public:
    Status pwrite(int fd, std::span<const std::byte> bytes,
                  uint64_t offset) override {
      if (!is_full)
        return WrapOs::pwrite(fd, bytes, offset);
      OVL_TRY(WrapOs::pwrite(fd, bytes.first(bytes.size() / 2), offset));
      return system_error(ENOSPC, "pwrite");
    }
    bool is_full = false;
  } os;
  step(0);
  auto file = CatalogFile::create(os, dir_.get(), kNumber, decoder_->catalog(),
                                  kPoints[0]);
  ASSERT_TRUE(file.has_value());
  const auto before = now();
  const CatalogDelta delta = step(1);
  os.is_full = true;
  EXPECT_FALSE((*file)->append(decoder_->catalog(), delta, kPoints[1]));
  EXPECT_EQ(read_back(kPoints[0]), before);
  os.is_full = false;
  EXPECT_TRUE((*file)->append(decoder_->catalog(), delta, kPoints[1]));
  EXPECT_EQ(read_back(kPoints[1]), now());
}

}  // namespace
}  // namespace ovl
