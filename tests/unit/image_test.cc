// SPDX-License-Identifier: BSD-3-Clause
#include "images/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <limits>

#include "tests/support/ext2_oracle.h"
#include "tests/support/image_file.h"
#include "tests/support/tree_builder.h"

namespace ovl {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;
constexpr uint64_t kTiB = kGiB << 10;

ImageOptions total(uint64_t bytes) {
  ImageOptions options;
  options.size = {SizeRequest::Kind::kTotal, bytes};
  return options;
}
ImageOptions with_free(uint64_t bytes) {
  ImageOptions options;
  options.size = {SizeRequest::Kind::kFreeSpace, bytes};
  return options;
}

class ImageTest : public testing::Test {
 protected:
  std::unique_ptr<Image> build(NodeId lower, NodeId merged,
                               const ImageOptions& options = {}) {
    auto image = Image::build({pool_, lower}, {pool_, merged}, options);
    if (!image.has_value()) {
      ADD_FAILURE() << image.error().what();
      return nullptr;
    }
    return std::move(*image);
  }
  std::unique_ptr<Image> build(NodeId root, const ImageOptions& options = {}) {
    return build(root, root, options);
  }

  // Also says that the image has the tree in it, byte for byte.
  void expect_good(const Image& image, NodeId root) {
    const ImageFile file(pool_, image);
    const auto check = run_program("e2fsck -fn " + file.path());
    EXPECT_EQ(check.status, 0) << check.output;
    const Ext2Oracle oracle(pool_, root, image, file.path());
    EXPECT_THAT(oracle.differences(), IsEmpty());
  }
  void build_and_check(NodeId root, const ImageOptions& options = {}) {
    const auto image = build(root, options);
    ASSERT_NE(image, nullptr);
    expect_good(*image, root);
  }

  Error error_of(NodeId root, const ImageOptions& options = {}) {
    const auto image = Image::build({pool_, root}, {pool_, root}, options);
    return image ? Error(0, "no error") : image.error();
  }

  // Everything of `image` but what made_byte gives.
  std::vector<std::byte> bytes_of(const Image& image, uint64_t first,
                                  uint64_t length) {
    return image_bytes(pool_, image, first, length);
  }

  NodeId many_files(uint32_t count) {
    TreeBuilder::Names names;
    for (uint32_t i = 0; i < count; ++i)
      names.emplace_back(fmt::format("file-number-{}", i), make_.file(0));
    return make_.dir(names);
  }

  NodePool pool_;
  TreeBuilder make_{pool_};
};

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

TEST_F(ImageTest, HiddenObjectsAreFreeAndKeepTheirPlace) {
  const NodeId below = make_.file(10000);
  const NodeId hidden =
      make_.with_xattrs(make_.file(20000), {{"user.hidden", "v"}});
  const NodeId sub = make_.dir({{"x", make_.file(1)}});
  const NodeId gone = make_.dir({{"y", make_.file(1)}});
  const NodeId lower_dir = make_.dir({{"below", below}, {"hidden", hidden}});
  const NodeId lower =
      make_.dir({{"d", lower_dir}, {"gone", gone}, {"sub", sub}});
  const NodeId changed = make_.with_xattrs(make_.file(5000), {{"user.u", "v"}});
  const NodeId upper_dir =
      make_.dir({{"below", below}, {"hidden", changed}}, lower_dir);
  const NodeId merged = make_.dir(
      {{"d", upper_dir}, {"moved", sub}, {"new", make_.file(3)}}, lower);
  const auto plain = build(lower, total(64 * kMiB));
  const auto image = build(lower, merged, total(64 * kMiB));
  expect_good(*plain, lower);
  expect_good(*image, merged);
  EXPECT_EQ(image->ino_of(below), plain->ino_of(below));
  EXPECT_EQ(image->ino_of(sub), plain->ino_of(sub));
  EXPECT_EQ(image->ino_of(upper_dir), plain->ino_of(lower_dir));
  EXPECT_EQ(image->block_of(below, 1), plain->block_of(below, 1));
  EXPECT_EQ(image->node_of(plain->ino_of(hidden)), kNoNode);
  EXPECT_EQ(image->uuid(), plain->uuid());
  EXPECT_GT(to_int(image->ino_of(changed)), to_int(plain->ino_of(gone)));
}

TEST_F(ImageTest, LowerPartIsTheSameUnderEveryUpper) {
  const NodeId shared = make_.file(140 * kMiB);
  const NodeId lower = make_.dir({{"a", many_files(5000)}, {"s", shared}});
  TreeBuilder::Names names{{"a", make_.dir({})}, {"s", shared}};
  for (int i = 0; i < 1000; ++i)
    names.emplace_back(fmt::format("u{}", i), make_.file(9000));
  const NodeId merged = make_.dir(names, lower);
  const auto one = build(lower, lower, total(kGiB));
  const auto two = build(lower, merged, total(kGiB));
  expect_good(*two, merged);
  EXPECT_EQ(one->ino_of(shared), two->ino_of(shared));
  for (uint64_t block : {0U, 5000U, 35839U})
    EXPECT_EQ(one->block_of(shared, block), two->block_of(shared, block));
}

TEST_F(ImageTest, UpperWithMoreObjectsThanInodesGetsMore) {
  const NodeId lower = make_.dir({});
  const NodeId merged = make_.dir({{"d", many_files(20000)}}, lower);
  const auto image = build(lower, merged, total(64 * kMiB));
  ASSERT_NE(image, nullptr);
  expect_good(*image, merged);
}

TEST_F(ImageTest, TwoDirectoriesMergedWithOneGetTwoNumbers) {
  for (const bool before : {true, false}) {
    const NodeId lower_dir = make_.dir({{"f", make_.file(1)}});
    const NodeId lower = make_.dir({{"m", lower_dir}});
    const NodeId redirected = make_.dir({}, lower_dir);
    const NodeId merged =
        make_.dir({{"m", lower_dir}, {before ? "a" : "z", redirected}}, lower);
    const auto image = build(lower, merged);
    ASSERT_NE(image, nullptr);
    expect_good(*image, merged);
  }
}

TEST_F(ImageTest, DirectoryWithTwoNamesIsRefused) {
  const NodeId dir = make_.dir({});
  EXPECT_EQ(error_of(make_.dir({{"a", dir}, {"b", dir}})).code(), EINVAL);
}

TEST_F(ImageTest, EverySmallTotalIsCleanOrSaysWhatIsNeeded) {
  const NodeId root = make_.dir({{"f", make_.file(100'000)}});
  uint64_t needed = 0;
  for (uint64_t size = 0; size < 6 * kMiB; size += 300'000) {
    const auto image = Image::build({pool_, root}, {pool_, root}, total(size));
    if (image.has_value()) {
      expect_good(**image, root);
      continue;
    }
    EXPECT_EQ(image.error().code(), ENOSPC);
    std::sscanf(image.error().what().c_str(),
                "size: %*u bytes are too few, the tree needs %lu", &needed);
  }
  build_and_check(root, total(needed));
  EXPECT_EQ(error_of(root, total(needed - 1)).code(), ENOSPC);
}

TEST_F(ImageTest, NeededSizeOfALargeTreeIsEnough) {
  const NodeId root =
      make_.dir({{"d", many_files(40000)}, {"f", make_.file(3 * kGiB)}});
  const Error error = error_of(root, total(2 * kGiB));
  uint64_t needed = 0;
  std::sscanf(error.what().c_str(),
              "size: %*u bytes are too few, the tree needs %lu", &needed);
  EXPECT_NE(build(root, total(needed)), nullptr);
  EXPECT_EQ(error_of(root, total(needed - 4096)).code(), ENOSPC);
}

TEST_F(ImageTest, SizeAroundAGroupsEndIsClean) {
  const NodeId root = make_.dir({{"f", make_.file(100'000)}});
  for (const int64_t more : {-4096, 0, 4096, 100 * 4096, 2000 * 4096, 5000})
    for (const uint64_t groups : {1U, 3U, 4U}) {
      const uint64_t size = groups * 128 * kMiB + static_cast<uint64_t>(more);
      const auto image = build(root, total(size));
      EXPECT_EQ(image->size(), size / 4096 * 4096);
      expect_good(*image, root);
    }
}

uint64_t stated_free(const NodePool& pool, const Image& image) {
  const auto sb = image_bytes(pool, image, 1024, 1024);
  uint32_t blocks = 0;
  std::memcpy(&blocks, sb.data() + 12, sizeof blocks);
  return uint64_t{blocks} * kBlockSize;
}

TEST_F(ImageTest, FreeSpaceIsAsRequested) {
  const NodeId root = make_.dir({{"f", make_.file(200 * kMiB)}});
  for (const uint64_t bytes : {uint64_t{0}, kMiB, 100 * kMiB, 300 * kMiB,
                               3 * kGiB + 1, 200 * kGiB, 2 * kTiB}) {
    const auto image = build(root, with_free(bytes));
    ASSERT_NE(image, nullptr);
    EXPECT_GE(stated_free(pool_, *image), bytes);
    EXPECT_LT(stated_free(pool_, *image), bytes + 16 * kMiB);
  }
}

TEST_F(ImageTest, TooLargeAFileSystemIsRefused) {
  const NodeId root = make_.dir({});
  EXPECT_EQ(error_of(root, total(17 * kTiB)).code(), EFBIG);
  EXPECT_EQ(error_of(root, with_free(17 * kTiB)).code(), EFBIG);
  EXPECT_EQ(error_of(root, with_free(UINT64_MAX)).code(), EFBIG);
}

TEST_F(ImageTest, DeviceWithManyDescriptorBlocksIsClean) {
  build_and_check(make_.dir({{"f", make_.file(1)}}), total(40 * kGiB));
}

TEST_F(ImageTest, LargestDeviceIsResolved) {
  const uint64_t size = (uint64_t{UINT32_MAX}) * kBlockSize;
  const auto image = build(make_.dir({{"f", make_.file(1)}}), total(size));
  ASSERT_NE(image, nullptr);
  EXPECT_EQ(image->size(), size);
  EXPECT_EQ(image->resolve(size - 4096, 4096).kind, Segment::Kind::kZero);
}

TEST_F(ImageTest, LongLabelIsRefused) {
  ImageOptions options;
  options.label = "seventeen letters";
  EXPECT_EQ(error_of(make_.dir({}), options).code(), EINVAL);
}

TEST_F(ImageTest, LabelAndUuidAreInTheSuperblock) {
  ImageOptions options;
  options.label = "exactly sixteen!";
  options.uuid = Uuid{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  const auto image = build(make_.dir({}), options);
  EXPECT_EQ(image->uuid(), *options.uuid);
  const ImageFile file(pool_, *image);
  const auto shown = run_program("dumpe2fs -h " + file.path());
  EXPECT_THAT(shown.output, HasSubstr("exactly sixteen!\n"));
  EXPECT_THAT(shown.output, HasSubstr("01020304-0506-0708-090a-0b0c0d0e0f10"));
}

TEST_F(ImageTest, EqualTreesMakeEqualBytes) {
  const auto made = [](NodePool& pool) {
    TreeBuilder make(pool);
    make.file(77);  // other node numbers
    const NodeId x = make.with_xattrs(make.file(9000), {{"user.a", "b"}});
    return make.dir({{"b", x}, {"a", make.dir({{"c", x}})}});
  };
  NodePool other;
  TreeBuilder(other).dir({});
  const NodeId one = made(pool_);
  const NodeId two = made(other);
  const auto first = build(one);
  const auto second = *Image::build({other, two}, {other, two}, ImageOptions{});
  ASSERT_EQ(first->size(), second->size());
  EXPECT_EQ(first->fingerprint(), second->fingerprint());
  uint64_t offset = 0;
  while (offset < first->size()) {
    const uint64_t rest = first->size() - offset;
    const Segment part = first->resolve(offset, rest);
    const Segment same = second->resolve(offset, rest);
    ASSERT_EQ(part.kind, same.kind);
    ASSERT_EQ(part.length, same.length);
    if (part.kind == Segment::Kind::kMetadata) {
      EXPECT_EQ(image_bytes(pool_, *first, offset, part.length),
                image_bytes(other, *second, offset, part.length));
    }
    offset += part.length;
  }
}

TEST_F(ImageTest, FingerprintTellsEveryChange) {
  const NodeId file = make_.file(9000);
  const NodeId link = make_.symlink("target");
  const NodeId root = make_.dir({{"f", file}, {"l", link}});
  const uint64_t before = build(root)->fingerprint();
  EXPECT_EQ(build(root)->fingerprint(), before);
  const Node kept = make_[file];
  const auto expect_changed = [&](auto change) {
    change();
    EXPECT_NE(build(root)->fingerprint(), before);
    make_[file] = kept;
  };
  expect_changed([&] { make_[file].size = 9001; });
  expect_changed([&] { make_[file].mtime_nsec++; });
  expect_changed([&] { make_[file].mtime_sec++; });
  expect_changed([&] { make_[file].uid++; });
  expect_changed([&] { make_[file].gid++; });
  expect_changed([&] { make_[file].mode ^= 1; });
  expect_changed([&] { make_[file].host_ino++; });
  expect_changed([&] { make_[file].layer++; });
  expect_changed([&] { make_.with_xattrs(file, {{"user.a", "b"}}); });
  expect_changed([&] {
    make_[file].holes = pool_.hole_maps.intern({true, {{0, 1}}});
  });
  expect_changed([&] { make_[link].target = pool_.strings.add("tarGet"); });
  EXPECT_NE(build(root, with_free(kMiB))->fingerprint(), before);
  ImageOptions labelled;
  labelled.label = "x";
  EXPECT_NE(build(root, labelled)->fingerprint(), before);
}

TEST_F(ImageTest, FingerprintTellsNamesAndWhatTheyName) {
  const NodeId a = make_.file(1);
  const NodeId b = make_.file(1);
  const uint64_t one = build(make_.dir({{"a", a}, {"b", b}}))->fingerprint();
  const uint64_t two = build(make_.dir({{"a", a}, {"c", b}}))->fingerprint();
  const uint64_t linked = build(make_.dir({{"a", a}, {"b", a}}))->fingerprint();
  EXPECT_NE(one, two);
  EXPECT_NE(one, linked);
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
