// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/image_fixture.h"

namespace ovl {
namespace {

using testing::HasSubstr;

class ImageLayoutTest : public ImageTest {};

TEST_F(ImageLayoutTest, HiddenObjectsAreFreeAndKeepTheirPlace) {
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

TEST_F(ImageLayoutTest, LowerPartIsTheSameUnderEveryUpper) {
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

TEST_F(ImageLayoutTest, UpperWithMoreObjectsThanInodesGetsMore) {
  const NodeId lower = make_.dir({});
  const NodeId merged = make_.dir({{"d", many_files(20000)}}, lower);
  const auto image = build(lower, merged, total(64 * kMiB));
  ASSERT_NE(image, nullptr);
  expect_good(*image, merged);
}

TEST_F(ImageLayoutTest, TwoDirectoriesMergedWithOneGetTwoNumbers) {
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

TEST_F(ImageLayoutTest, DirectoryWithTwoNamesIsRefused) {
  const NodeId dir = make_.dir({});
  EXPECT_EQ(error_of(make_.dir({{"a", dir}, {"b", dir}})).code(), EINVAL);
}

TEST_F(ImageLayoutTest, LongLabelIsRefused) {
  ImageOptions options;
  options.label = "seventeen letters";
  EXPECT_EQ(error_of(make_.dir({}), options).code(), EINVAL);
}

TEST_F(ImageLayoutTest, LabelAndUuidAreInTheSuperblock) {
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

TEST_F(ImageLayoutTest, EqualTreesMakeEqualBytes) {
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

TEST_F(ImageLayoutTest, FingerprintTellsEveryChange) {
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

TEST_F(ImageLayoutTest, FingerprintTellsNamesAndWhatTheyName) {
  const NodeId a = make_.file(1);
  const NodeId b = make_.file(1);
  const uint64_t one = build(make_.dir({{"a", a}, {"b", b}}))->fingerprint();
  const uint64_t two = build(make_.dir({{"a", a}, {"c", b}}))->fingerprint();
  const uint64_t linked = build(make_.dir({{"a", a}, {"b", a}}))->fingerprint();
  EXPECT_NE(one, two);
  EXPECT_NE(one, linked);
}

}  // namespace
}  // namespace ovl
