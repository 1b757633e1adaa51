// SPDX-License-Identifier: BSD-3-Clause
//
// What decoding one small change costs, in a tree of any size, once the decoder
// has seen the device: prints the
// blocks that were read of the device. Instructions are counted by running it
// under callgrind, which is to look at `measured` alone.
#include <cstdio>
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "images/decode/decoder.h"
#include "tests/support/memory_device.h"
#include "tests/support/nbd_guest_fs.h"
#include "tests/support/tree_builder.h"

namespace ovl {
namespace {

constexpr uint64_t kDeviceBytes = uint64_t{4} << 30;

class CountingDevice : public BlockSource {
 public:
  explicit CountingDevice(const BlockSource& device) : device_(device) {}
  uint64_t size() const override { return device_.size(); }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    blocks_ += blocks_for(offset % kBlockSize + out.size());
    return device_.read(offset, out);
  }
  uint64_t blocks() const { return blocks_; }

 private:
  const BlockSource& device_;
  mutable uint64_t blocks_ = 0;
};

NodeId make_tree(NodePool& pool, uint32_t files, uint32_t in_directory) {
  TreeBuilder make(pool);
  TreeBuilder::Names directories;
  for (uint32_t made = 0; made < files;) {
    TreeBuilder::Names names;
    for (uint32_t i = 0; i < in_directory && made < files; ++i, ++made)
      names.emplace_back("file" + std::to_string(i), make.file(5000));
    directories.emplace_back("dir" + std::to_string(directories.size()),
                             make.dir(names));
  }
  return make.dir(directories);
}

// By this name callgrind knows it.
__attribute__((noinline)) size_t measured(Decoder& decoder,
                                          const MemoryDevice& device,
                                          const BlockSource& counted) {
  for (const auto& [number, block] : device.written())
    decoder.note_written(BlockNo{number}, 1);
  const auto changes = decoder.decode(counted, Decoder::Stillness::kStill);
  if (!changes) {
    std::fprintf(stderr, "%s\n", changes.error().what().c_str());
    return 0;
  }
  decoder.accept();
  return changes->objects.size() + changes->names.size();
}

Status change(MemoryDevice& device, const std::string& what) {
  GuestFs fs = OVL_TRY(GuestFs::open(device, device.sink()));
  if (what == "touch")
    OVL_TRY(fs.set_mtime("dir0/file3", {1, 2}));
  else if (what == "write")
    OVL_TRY(fs.write("dir0/file3", 100, std::as_bytes(std::span("text"))));
  else
    OVL_TRY(fs.make_node("dir0/one more", S_IFREG | 0644));
  return fs.close();
}

int run(uint32_t files, uint32_t in_directory, const std::string& what) {
  NodePool pool;
  const NodeId root = make_tree(pool, files, in_directory);
  ImageOptions options;
  options.size = {SizeRequest::Kind::kTotal, kDeviceBytes};
  const auto image = Image::build({pool, root}, {pool, root}, options);
  if (!image)
    return 1;
  MemoryDevice device(pool, **image);
  const BaseState base(**image);
  Decoder decoder{Catalog(base)};
  if (!decoder.decode(device, Decoder::Stillness::kStill))
    return 1;
  decoder.accept();
  if (!change(device, what))
    return 1;
  const CountingDevice counted(device);
  const size_t changes = measured(decoder, device, counted);
  std::printf("%zu changes, %llu blocks read\n", changes,
              static_cast<unsigned long long>(counted.blocks()));
  return changes > 0 ? 0 : 1;
}

}  // namespace
}  // namespace ovl

int main(int argc, char** argv) {
  uint32_t files = 2000;
  uint32_t in_directory = 100;
  std::string what = "touch";
  CLI::App app("The cost of decoding one change");
  app.add_option("--files", files);
  app.add_option("--in-directory", in_directory)->check(CLI::PositiveNumber);
  app.add_option("--change", what)
      ->check(CLI::IsMember({"touch", "write", "create"}));
  CLI11_PARSE(app, argc, argv);
  return ovl::run(files, in_directory, what);
}
