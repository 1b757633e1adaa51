// SPDX-License-Identifier: BSD-3-Clause
#include <limits>

#include "tests/support/image_fixture.h"

namespace ovl {
namespace {

using testing::HasSubstr;

TEST_F(ImageTest, EmptyTreeIsClean) {
  build_and_check(make_.dir({}));
}

TEST_F(ImageTest, EmptyTreeWithoutJournalIsClean) {
  ImageOptions options;
  options.journal = false;
  build_and_check(make_.dir({}), options);
}

TEST_F(ImageTest, EveryFileTypeReadsBack) {
  const NodeId linked = make_.file(5000);
  const NodeId root = make_.dir({
      {"empty", make_.file(0)},
      {"small", make_.file(1)},
      {"block", make_.file(4096)},
      {"linked", linked},
      {"dir", make_.dir({{"again", linked}, {"sub", make_.dir({})}})},
      {"fast", make_.symlink(std::string(59, 'f'))},
      {"slow", make_.symlink(std::string(60, 's'))},
      {"longest", make_.symlink(std::string(4095, 'l'))},
      {"null", make_.special(S_IFCHR, DeviceNo::of(1, 3))},
      {"zero", make_.special(S_IFCHR, DeviceNo::of(0, 0))},
      {"wide", make_.special(S_IFBLK, DeviceNo::of(4095, 0xfffff))},
      {"minor", make_.special(S_IFBLK, DeviceNo::of(8, 256))},
      {"fifo", make_.special(S_IFIFO)},
      {"socket", make_.special(S_IFSOCK)},
      {std::string(255, 'n'), make_.file(0)},
      {"not\xff utf8\n", make_.file(0)},
  });
  build_and_check(root);
}

TEST_F(ImageTest, OwnersModesAndTimesReadBack) {
  TreeBuilder::Names names;
  const auto add = [&](const std::string& name, int64_t sec, uint32_t nsec) {
    const NodeId id = make_.file(10);
    make_[id].mtime_sec = sec;
    make_[id].mtime_nsec = nsec;
    names.emplace_back(name, id);
    return id;
  };
  add("epoch", 0, 0);
  add("before 1970", -1, 999'999'999);
  add("1901", std::numeric_limits<int32_t>::min(), 1);
  add("2038", std::numeric_limits<int32_t>::max(), 5);
  add("after 2038", int64_t{1} << 31, 0);
  add("2106", int64_t{1} << 32, 7);
  add("2446", (int64_t{1} << 34) - (int64_t{1} << 31) - 1, 0);
  const NodeId owned = add("owned", 1, 1);
  make_[owned].uid = 0x12345678;
  make_[owned].gid = 0xfffffffe;
  make_[owned].mode = S_IFREG | 07777;
  build_and_check(make_.dir(names));
}

TEST_F(ImageTest, TimeBeyondRangeBecomesTheNearest) {
  const NodeId file = make_.file(0);
  make_[file].mtime_sec = int64_t{1} << 40;
  const NodeId root = make_.dir({{"late", file}});
  const auto image = build(root);
  make_[file].mtime_sec = (int64_t{1} << 34) - (int64_t{1} << 31) - 1;
  make_[file].mtime_nsec = 0;
  expect_good(*image, root);
}

TEST_F(ImageTest, ContentOfEveryMappingLevelReadsBack) {
  const NodeId root = make_.dir({
      {"direct", make_.file(12 * 4096)},
      {"single", make_.file(13 * 4096)},
      {"single full", make_.file((12 + 1024) * 4096)},
      {"double", make_.file((12 + 1024) * 4096 + 1)},
      {"double two", make_.file((12 + 1024 + 1024 + 5) * 4096)},
  });
  build_and_check(root);
}

TEST_F(ImageTest, SparseFileOfEveryShapeReadsBack) {
  constexpr uint32_t kDouble = 12 + 1024;
  constexpr uint32_t kTriple = kDouble + 1024 * 1024;
  constexpr uint32_t kMiddle = 1024 * 1024;
  const uint64_t size = kTiB;
  const NodeId root = make_.dir({
      {"only hole", make_.sparse_file(100 * kMiB, {})},
      {"hole first", make_.sparse_file(100 * kMiB, {{5, 1}})},
      {"one window", make_.sparse_file(kMiB, {{1, 2}, {13, 1}, {15, 3}})},
      {"end only", make_.sparse_file(size, {{(1U << 28) - 1, 1}})},
      {"double only", make_.sparse_file(size, {{kDouble, 1}})},
      {"triple only", make_.sparse_file(size, {{kTriple, 1}})},
      {"borders", make_.sparse_file(size, {{11, 2},
                                           {kDouble - 1, 2},
                                           {kTriple - 2, 4},
                                           {kTriple + kMiddle - 1, 2},
                                           {kTriple + 7 * kMiddle, 3000}})},
      {"tail is short", make_.sparse_file(size - 100, {{(1U << 28) - 2, 2}})},
  });
  build_and_check(root);
}

TEST_F(ImageTest, LargeFileWithoutHolesIsMappedOverGroups) {
  const NodeId file = make_.file(5 * kGiB + 17);
  const NodeId root = make_.dir({{"large", file}});
  const auto image = build(root);
  ASSERT_NE(image, nullptr);
  uint64_t data = 0;
  uint64_t metadata = 0;
  for (const auto& run : image->blocks_of(file)) {
    const auto part =
        image->resolve(to_int(run.first) * kBlockSize, run.count * kBlockSize);
    if (part.kind == Segment::Kind::kMetadata)
      metadata += part.length / kBlockSize;
    data += run.count;
  }
  const uint64_t blocks = blocks_for(5 * kGiB + 17);
  EXPECT_EQ(data - blocks, metadata);
  for (uint64_t block : {uint64_t{0}, uint64_t{32768}, blocks - 1}) {
    const auto at = image->block_of(file, block);
    ASSERT_TRUE(at.has_value());
    const auto part = image->resolve(to_int(*at) * kBlockSize, 1);
    EXPECT_EQ(part.node, file);
    EXPECT_EQ(part.file_offset, block * kBlockSize);
  }
}

TEST_F(ImageTest, TreeOverManyGroupsIsClean) {
  TreeBuilder::Names names;
  for (uint32_t i = 0; i < 300; ++i)
    names.emplace_back(fmt::format("f{}", i), make_.file(i * 10007));
  names.emplace_back("x", make_.file(130 * kMiB));
  names.emplace_back("y", make_.file(150 * kMiB + 5));
  build_and_check(make_.dir(names));
}

TEST_F(ImageTest, DirectoryOf3000NamesReadsBack) {
  build_and_check(make_.dir({{"d", many_files(3000)}}));
}

TEST_F(ImageTest, DirectoryOf100000NamesReadsBack) {
  build_and_check(make_.dir({{"d", many_files(100'000)}}));
}

TEST_F(ImageTest, DeepTreeReadsBack) {
  NodeId at = make_.dir({{"bottom", make_.file(1)}});
  for (int depth = 0; depth < 3000; ++depth)
    at = make_.dir({{"d", at}, {"f", make_.file(1)}});
  build_and_check(at);
}

std::string acl_entry(uint16_t tag, uint16_t perm, uint32_t id) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &tag, 2);
  std::memcpy(bytes.data() + 2, &perm, 2);
  std::memcpy(bytes.data() + 4, &id, 4);
  return bytes;
}
const std::string kAclHeader("\x02\0\0\0", 4);
const std::string kAcl = kAclHeader + acl_entry(1, 7, ~0U) +
                         acl_entry(2, 6, 1000) + acl_entry(2, 4, 70000) +
                         acl_entry(4, 5, ~0U) + acl_entry(8, 7, 33) +
                         acl_entry(16, 7, ~0U) + acl_entry(32, 4, ~0U);

TEST_F(ImageTest, ExtendedAttributesReadBack) {
  const XattrSet several{{"security.capability", std::string(20, '\1')},
                         {"system.posix_acl_access", kAcl},
                         {"trusted.t", "v"},
                         {"user.empty", ""},
                         {"user.long", std::string(3000, 'x')},
                         {"user.zz", std::string("a\0b", 3)},
                         {"user.\xc3\xa9t\xc3\xa9", "\xff\x80\x7f!"}};
  const XattrSet one{{"user.a", "b"}};
  const NodeId root = make_.dir({
      {"several", make_.with_xattrs(make_.file(10), several)},
      {"one", make_.with_xattrs(make_.file(10), one)},
      {"same", make_.with_xattrs(make_.file(10), one)},
      {"link", make_.with_xattrs(make_.symlink("t"), {{"trusted.l", "v"}})},
      {"slow", make_.with_xattrs(make_.symlink(std::string(99, 's')), one)},
      {"dev", make_.with_xattrs(make_.special(S_IFIFO), {{"trusted.l", "v"}})},
      {"dir",
       make_.with_xattrs(make_.dir({}), {{"system.posix_acl_default", kAcl}})},
  });
  build_and_check(root);
}

TEST_F(ImageTest, AttributeBlockHasAtMost1024Users) {
  TreeBuilder::Names names;
  for (int i = 0; i < 2500; ++i)
    names.emplace_back(
        fmt::format("f{}", i),
        make_.with_xattrs(make_.file(0), {{"security.selinux", "label"}}));
  build_and_check(make_.dir(names));
}

TEST_F(ImageTest, AttributesThatExt2DoesNotKnowAreLeftOut) {
  const NodeId file = make_.with_xattrs(
      make_.file(1), {{"btrfs.compression", "zstd"}, {"user.a", "b"}});
  const NodeId other =
      make_.with_xattrs(make_.file(1), {{"system.other", "zstd"}});
  const NodeId root = make_.dir({{"f", file}, {"o", other}});
  const auto image = build(root);
  make_.with_xattrs(file, {{"user.a", "b"}});
  make_.with_xattrs(other, {});
  expect_good(*image, root);
}

TEST_F(ImageTest, AttributesThatDoNotFitNameThePath) {
  const NodeId file =
      make_.with_xattrs(make_.file(1), {{"user.big", std::string(4096, 'x')}});
  const Error error = error_of(make_.dir({{"d", make_.dir({{"f", file}})}}));
  EXPECT_EQ(error.code(), ENOSPC);
  EXPECT_THAT(error.what(), HasSubstr("/d/f: "));
}

TEST_F(ImageTest, MalformedAclNamesThePath) {
  const NodeId file = make_.with_xattrs(
      make_.file(1), {{"system.posix_acl_access", kAclHeader + "xyz"}});
  const Error error = error_of(make_.dir({{"f", file}}));
  EXPECT_EQ(error.code(), EINVAL);
  EXPECT_THAT(error.what(), HasSubstr("/f: system.posix_acl_access: "));
}

TEST_F(ImageTest, FileThatIsTooLargeNamesThePath) {
  const NodeId file = make_.sparse_file(4 * kTiB, {});
  const Error error = error_of(make_.dir({{"f", file}}));
  EXPECT_EQ(error.code(), EFBIG);
  EXPECT_THAT(error.what(), HasSubstr("/f: "));
}

TEST_F(ImageTest, TooManyLinksNameThePath) {
  TreeBuilder::Names names;
  const NodeId file = make_.file(1);
  for (int i = 0; i < 65001; ++i)
    names.emplace_back(std::to_string(i), file);
  EXPECT_EQ(error_of(make_.dir(names)).code(), EMLINK);
  names.pop_back();
  build_and_check(make_.dir(names));
}

TEST_F(ImageTest, InodeBytesAreThoseOfTheTable) {
  const NodeId file = make_.file(10);
  const auto image = build(make_.dir({{"f", file}}));
  const Ino ino = image->ino_of(file);
  const ImageFile written(pool_, *image);
  const auto place = run_program(
      fmt::format("debugfs -R 'imap <{}>' {}", to_int(ino), written.path()));
  unsigned block = 0;
  unsigned offset = 0;
  const auto at = place.output.find("located at");
  ASSERT_NE(at, std::string::npos) << place.output;
  ASSERT_EQ(std::sscanf(place.output.c_str() + at,
                        "located at block %u, offset %x", &block, &offset),
            2);
  const auto told = image->inode_bytes(ino);
  EXPECT_EQ(std::vector(told.begin(), told.end()),
            bytes_of(*image, uint64_t{block} * kBlockSize + offset,
                     Image::kInodeSize));
  EXPECT_EQ(image->inode_bytes(Ino{7}), Image::InodeBytes{});
}

TEST_F(ImageTest, MetadataReadsTheSameInPieces) {
  const auto image = build(make_.dir({{"d", many_files(3000)}}));
  const Segment part = image->resolve(0, image->size());
  ASSERT_EQ(part.kind, Segment::Kind::kMetadata);
  const auto whole = bytes_of(*image, 0, part.length);
  for (const uint64_t offset : {1U, 1000U, 4095U, 4096U, 5001U}) {
    const auto piece = bytes_of(*image, offset, 5000);
    EXPECT_TRUE(
        std::ranges::equal(piece, std::span(whole).subspan(offset, 5000)));
  }
}

}  // namespace
}  // namespace ovl
