// SPDX-License-Identifier: BSD-3-Clause
#include "plugin/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovl {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

class ParametersTest : public ::testing::Test {
 protected:
  std::string error(const char* key, const std::string& value) {
    const Status status = parameters_.set(key, value);
    return status ? "" : status.error().what();
  }
  const DeviceConfig& config() const { return parameters_.config(); }

  Parameters parameters_;
};

TEST_F(ParametersTest, LowersKeepTheirOrderOverRepeatedKeys) {
  EXPECT_EQ(error("lowerdir", "/a:/b"), "");
  EXPECT_EQ(error("lowerdir", "/c"), "");
  EXPECT_THAT(config().lowers, ElementsAre("/a", "/b", "/c"));
}

TEST_F(ParametersTest, BackslashEscapesAColon) {
  EXPECT_EQ(error("lowerdir", "/a\\:b:/c\\\\d"), "");
  EXPECT_THAT(config().lowers, ElementsAre("/a:b", "/c\\d"));
}

TEST_F(ParametersTest, DoubleColonStartsDataOnlyLayers) {
  EXPECT_EQ(error("lowerdir", "/a:/b::/c::/d"), "");
  EXPECT_THAT(config().lowers, ElementsAre("/a", "/b"));
  EXPECT_THAT(config().data_only, ElementsAre("/c", "/d"));
  EXPECT_THAT(error("lowerdir", "/e"), StartsWith("lowerdir: "));
}

TEST_F(ParametersTest, EmptyPathsAreRefused) {
  for (const char* value : {"", ":/a", "::/a", "/a:", "/a::", "/a:::/b"}) {
    Parameters parameters;
    EXPECT_FALSE(parameters.set("lowerdir", value)) << value;
  }
  EXPECT_THAT(error("upperdir", ""), StartsWith("upperdir: "));
}

TEST_F(ParametersTest, SizesAreTotalOrFree) {
  EXPECT_EQ(error("size", "10G"), "");
  EXPECT_EQ(config().size->bytes, uint64_t{10} << 30);
  EXPECT_EQ(config().size->kind, SizeRequest::Kind::kTotal);
  EXPECT_EQ(error("size", "+512M"), "");
  EXPECT_EQ(config().size->bytes, uint64_t{512} << 20);
  EXPECT_EQ(config().size->kind, SizeRequest::Kind::kFreeSpace);
  EXPECT_EQ(error("size", "3s"), "");
  EXPECT_EQ(config().size->bytes, 1536U);
}

TEST_F(ParametersTest, BadSizesNameTheParameter) {
  for (const char* value : {"", "+", "-1", "10Q", "1.5G", "9999999999999G",
                            "99999999999999999999", "G", "10GG", "0x10"})
    EXPECT_THAT(error("size", value), StartsWith("size: ")) << value;
}

TEST_F(ParametersTest, UuidIsParsedOrRefused) {
  EXPECT_EQ(error("uuid", "00112233-4455-6677-8899-aabbccddeeff"), "");
  EXPECT_EQ((*config().uuid)[1], 0x11);
  EXPECT_EQ((*config().uuid)[15], 0xff);
  for (const char* value : {"", "00112233445566778899aabbccddeeff",
                            "00112233-4455-6677-8899-aabbccddeefg",
                            "0011-22334455-6677-8899-aabbccddeeff"})
    EXPECT_THAT(error("uuid", value), StartsWith("uuid: ")) << value;
}

TEST_F(ParametersTest, TypeIsExt2OrExt4) {
  EXPECT_EQ(config().type, FsType::kExt2);
  EXPECT_EQ(error("type", "ext4"), "");
  EXPECT_EQ(config().type, FsType::kExt4);
  EXPECT_EQ(error("type", "ext2"), "");
  EXPECT_EQ(config().type, FsType::kExt2);
}

TEST_F(ParametersTest, CheckpointIsSecondsOrSync) {
  EXPECT_EQ(config().checkpoint, std::chrono::seconds(5));
  EXPECT_EQ(error("checkpoint", "86400"), "");
  EXPECT_EQ(config().checkpoint, std::chrono::seconds(86400));
  EXPECT_FALSE(config().sync_checkpoints);
  EXPECT_EQ(error("checkpoint", "sync"), "");
  EXPECT_TRUE(config().sync_checkpoints);
  EXPECT_EQ(error("checkpoint", "1"), "");
  EXPECT_FALSE(config().sync_checkpoints);
  for (const char* value : {"", "0", "-1", "86401", "5s", "always", "1e3"})
    EXPECT_THAT(error("checkpoint", value), StartsWith("checkpoint: "))
        << value;
}

TEST_F(ParametersTest, ValuesOutsideTheirSetAreRefused) {
  EXPECT_THAT(error("type", "ext3"), StartsWith("type: "));
  EXPECT_THAT(error("type", "xfs"), StartsWith("type: "));
  EXPECT_THAT(error("journal", "maybe"), StartsWith("journal: "));
  EXPECT_THAT(error("owner", "me"), StartsWith("owner: "));
  EXPECT_THAT(error("label", "seventeen letters"), StartsWith("label: "));
}

TEST_F(ParametersTest, UnknownKeyIsNamed) {
  EXPECT_EQ(error("lowedir", "/a"), "unknown parameter 'lowedir'");
}

TEST_F(ParametersTest, WhatIsMissingIsNamed) {
  EXPECT_THAT(parameters_.check().error().what(), StartsWith("lowerdir: "));
  EXPECT_EQ(error("lowerdir", "/a"), "");
  EXPECT_TRUE(parameters_.check());
  EXPECT_EQ(error("upperdir", "/u"), "");
  EXPECT_THAT(parameters_.check().error().what(), StartsWith("upperdir: /u"));
}

}  // namespace
}  // namespace ovl
