// SPDX-License-Identifier: BSD-3-Clause
//
// The whole way of a layout that outlives write-backs: one image, a guest's
// file system in its blocks, upper written from what is read back, again and
// again. The files that upper loses go into the store before, those that it
// keeps are read where they are afterwards: so no write-back changes a byte of
// the device.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <random>

#include "fsengine/overlay/rebase.h"
#include "images/ext_reader.h"
#include "tests/support/host_layers.h"
#include "tests/support/random_fs_ops.h"

namespace ovl {
namespace {

namespace fs = std::filesystem;

using Block = std::vector<std::byte>;

// The image with what was written over it. Its files are read by `content`.
class StoredDevice : public BlockSource {
 public:
  StoredDevice(const Image& image, std::function<ContentPtr(NodeId)> content)
      : image_(image), content_(std::move(content)) {}

  uint64_t size() const override { return image_.size(); }

  Status read(uint64_t offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const uint64_t into = offset % kBlockSize;
      const auto part =
          out.first(std::min<size_t>(kBlockSize - into, out.size()));
      const Block block = OVL_TRY(load(offset / kBlockSize));
      std::copy_n(block.begin() + static_cast<ptrdiff_t>(into), part.size(),
                  part.begin());
      out = out.subspan(part.size());
      offset += part.size();
    }
    return {};
  }

  Status write(uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const uint64_t into = offset % kBlockSize;
      const auto part =
          bytes.first(std::min<size_t>(kBlockSize - into, bytes.size()));
      Block block = OVL_TRY(load(offset / kBlockSize));
      std::ranges::copy(part, block.begin() + static_cast<ptrdiff_t>(into));
      written_[offset / kBlockSize] = std::move(block);
      bytes = bytes.subspan(part.size());
      offset += part.size();
    }
    return {};
  }

  /// Takes what the image has of regular file `node` into the store.
  Status save(const NodePool& pool, NodeId node) {
    for (const DataRun& run : data_runs(pool, pool[node]))
      for (uint32_t i = 0; i < run.blocks; ++i) {
        const uint64_t block =
            to_int(image_.block_of(node, run.first_block + i).value());
        written_[block] = OVL_TRY(load(block));
      }
    return {};
  }

  bool any_written(BlockNo first, uint64_t count) const {
    const auto at = written_.lower_bound(to_int(first));
    return at != written_.end() && at->first < to_int(first) + count;
  }

  Result<Block> all() const {
    Block bytes(size());
    OVL_TRY(read(0, bytes));
    return bytes;
  }

 private:
  Result<Block> load(uint64_t number) const {
    if (const auto at = written_.find(number); at != written_.end())
      return at->second;
    Block block(kBlockSize);
    const Segment segment = image_.resolve(number * kBlockSize, kBlockSize);
    EXPECT_EQ(segment.length, kBlockSize);
    if (segment.kind == Segment::Kind::kMetadata)
      image_.read_metadata(number * kBlockSize, block);
    if (segment.kind == Segment::Kind::kFile) {
      const auto file = OVL_TRY(content_(segment.node));
      const uint64_t left = file->size() - segment.file_offset;
      OVL_TRY(file->read(
          segment.file_offset,
          std::span(block).first(std::min<size_t>(kBlockSize, left))));
    }
    return block;
  }

  const Image& image_;
  const std::function<ContentPtr(NodeId)> content_;
  std::map<uint64_t, Block> written_;
};

// One image, until it is laid out anew.
class Session {
 public:
  Session(const Way& way, const std::string& lower, const std::string& upper,
          const std::string& staging)
      : way_(way),
        lower_(lower),
        upper_(way, upper, staging),
        layers_(way, {lower}),
        base_(layers_.read_upper(upper)),
        merged_(base_),
        image_(build_image()),
        device_(*image_, [this](NodeId id) { return now_content(id); }) {
    for (const NodeId object : upper_objects({layers_.pool(), base_}))
      now_[object] = object;
  }

  Status guest(std::mt19937_64& random, uint64_t operations) {
    GuestFs guest = OVL_TRY(GuestFs::open(device_, sink()));
    RandomOps ops(guest, random);
    for (; operations > 0; --operations)
      OVL_TRY(ops.one());
    return guest.close();
  }

  void write_back(bool redirect_dir) {
    const Block before = *device_.all();
    const Status status = try_write_back(redirect_dir);
    ASSERT_TRUE(status) << status.error().what();
    const auto after = device_.all();
    ASSERT_TRUE(after) << after.error().what();
    ASSERT_TRUE(before == *after);
  }

  size_t kept = 0;
  size_t lost = 0;

 private:
  std::unique_ptr<Image> build_image() {
    ImageOptions options;
    options.size = {SizeRequest::Kind::kTotal, 8 << 20};
    return *Image::build(layers_.lower(), {layers_.pool(), base_}, options);
  }

  BlockSink sink() {
    return {[this](uint64_t offset, std::span<const std::byte> bytes) {
              return device_.write(offset, bytes);
            },
            {}};
  }

  // A file of the image where it is now. A lost one must be in the store.
  ContentPtr now_content(NodeId id) {
    if (!is_upper_object(layers_.pool(), id))
      return layers_.content(id);
    const auto at = now_.find(id);
    if (at == now_.end())
      return fail(EIO, "upper does not have it any more");
    return layers_.content(at->second);
  }

  ContentPtr content(ExtReader& reader, NodeId id) {
    const Node& node = layers_.pool()[id];
    if (node.origin == Origin::kLayer)
      return layers_.content(id);
    return reader.open_file(Ino{static_cast<uint32_t>(node.host_ino)});
  }

  Result<std::unique_ptr<ExtReader>> open_reader() {
    return ExtReader::open({device_,
                            *image_,
                            layers_.pool(),
                            {layers_.pool(), base_},
                            [this](BlockNo first, uint64_t count) {
                              return device_.any_written(first, count);
                            }});
  }

  Result<Rebased> rebase(ExtReader& reader, NodeId tree, bool redirect_dir) {
    return rebase_guest(
        {.pool = layers_.pool(),
         .merged = merged_,
         .guest = tree,
         .now = now_,
         .redirect_dir = redirect_dir,
         .owner = way_.owner(),
         .content = [&](NodeId id) { return content(reader, id); },
         .guest_ino = [&](NodeId id) { return to_int(image_->ino_of(id)); }});
  }

  Status try_write_back(bool redirect_dir) {
    auto reader = OVL_TRY(open_reader());
    const Tree tree = OVL_TRY(reader->read_tree());
    const Lines expected = describe(*reader, tree);
    const Rebased rebased = OVL_TRY(rebase(*reader, tree.root, redirect_dir));
    for (const NodeId file : rebased.lost)
      OVL_TRY(device_.save(layers_.pool(), file));
    OVL_TRY(upper_.write(layers_, {merged_, rebased.guest.root, redirect_dir},
                         [&](NodeId id) { return content(*reader, id); }));
    merged_ = layers_.read_upper(upper_.path());
    find_kept(rebased);
    check_shown(expected);
    return check_nothing_left(redirect_dir);
  }

  void find_kept(const Rebased& rebased) {
    const NodePool& pool = layers_.pool();
    std::map<uint64_t, NodeId> by_ino;
    for (const NodeId object : upper_objects({pool, merged_}))
      by_ino[pool[object].host_ino] = object;
    NowMap now;
    for (const NodeId file : rebased.kept)
      now[file] = by_ino.at(pool[now_.at(file)].host_ino);
    kept += rebased.kept.size();
    lost += rebased.lost.size();
    now_ = std::move(now);
  }

  Lines describe(ExtReader& reader, const Tree& tree) {
    return Description(tree, way_,
                       [&](NodeId id) {
                         const Node& node = layers_.pool()[id];
                         return reader.open_file(
                             node.origin == Origin::kGuest
                                 ? Ino{static_cast<uint32_t>(node.host_ino)}
                                 : image_->ino_of(id));
                       })
        .lines();
  }

  void check_shown(const Lines& expected) {
    Layers fresh(way_, {lower_});
    const NodeId shown = fresh.read_upper(upper_.path());
    EXPECT_EQ(Description({fresh.pool(), shown}, way_,
                          [&](NodeId id) { return fresh.content(id); })
                  .lines(),
              expected);
  }

  Status check_nothing_left(bool redirect_dir) {
    auto reader = OVL_TRY(open_reader());
    const Tree tree = OVL_TRY(reader->read_tree());
    const Rebased again = OVL_TRY(rebase(*reader, tree.root, redirect_dir));
    EXPECT_EQ(again.guest.root, merged_);
    EXPECT_TRUE(again.lost.empty());
    return {};
  }

  const Way& way_;
  const std::string lower_;
  HostUpper upper_;
  Layers layers_;
  const NodeId base_;
  NodeId merged_;
  const std::unique_ptr<Image> image_;
  StoredDevice device_;
  NowMap now_;
};

class RebaseDeviceTest : public ::testing::TestWithParam<Way> {
 protected:
  void tell(uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const TempDir temp;
    for (const char* path : {"a/a/x", "a/b", "b/a", "b/d/c", "c", "d/a"})
      put(temp.path("lower/" + std::string(path)));
    fs::create_hard_link(temp.path("lower/c"), temp.path("lower/a/c"));
    for (int session = 0; session < 2 && !HasFailure(); ++session) {
      Session device(GetParam(), temp.path("lower"), temp.dir("upper"),
                     temp.dir("staging"));
      for (int round = 0; round < 4 && !HasFailure(); ++round) {
        SCOPED_TRACE("session " + std::to_string(session) + ", round " +
                     std::to_string(round));
        const Status worked = device.guest(random, random() % 80);
        ASSERT_TRUE(worked) << worked.error().what();
        device.write_back(
            GetParam().redirect_dir[random() % GetParam().redirect_dir.size()]);
      }
      kept_ += device.kept;
      lost_ += device.lost;
    }
  }

  static void put(const std::string& path) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << std::string(5000, path.back());
  }

  size_t kept_ = 0;
  size_t lost_ = 0;
};

TEST_P(RebaseDeviceTest, WriteBacksChangeNoByteOfTheDevice) {
  if (GetParam().privileged && ::geteuid() != 0)
    GTEST_SKIP() << "needs root: attributes in trusted.*, owners";
  for (const uint64_t seed : random_seeds(10)) {
    tell(seed);
    ASSERT_FALSE(HasFailure());
  }
  std::cout << "kept " << kept_ << ", lost " << lost_ << "\n";
  EXPECT_GT(kept_, 20U);
  EXPECT_GT(lost_, 10U);
}

INSTANTIATE_TEST_SUITE_P(
    , RebaseDeviceTest,
    ::testing::Values(Way{"Unprivileged", false, {false}},
                      Way{"Alternating", true, {true, false}}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace ovl
