// SPDX-License-Identifier: BSD-3-Clause
//
// The decoder, over a small file system that the input writes to, decoded in a
// few steps, the guest mounted or not. What is told is applied to a plain tree,
// which has to stay one; and decoding all that was written at once ends where
// the steps ended.
#include <array>
#include <memory>

#include "images/decode/decoder.h"
#include "tests/fuzz/decode_model.h"
#include "tests/fuzz/decode_world.h"

namespace {

using namespace ovl;  // NOLINT

constexpr int kMaxSteps = 60;

const DecodeWorld& world_of(uint8_t choice) {
  static const DecodeWorld worlds[] = {DecodeWorld(FsType::kExt2),
                                       DecodeWorld(FsType::kExt4)};
  return worlds[choice % 2];
}

class Run {
 public:
  explicit Run(const DecodeWorld& world)
      : device_(world,
                [this](BlockNo block) {
                  steps_.note_written(block, 1);
                  whole_.note_written(block, 1);
                }),
        model_(world.pool(), world.root(), world.image()),
        steps_(Catalog(world.base())),
        whole_(Catalog(world.base())) {}

  void run(FuzzInput& input) {
    for (int i = 0; i < kMaxSteps && !input.empty(); ++i) {
      if (input.byte() % 8 == 0)
        decode(input.byte() % 4 != 0);
      device_.step(input);
    }
    decode(true);
    if (was_accepted_)
      compare_with_whole();
  }

 private:
  void decode(bool is_mounted) {
    device_.set_mounted(is_mounted);
    const auto changes =
        steps_.decode(device_.device(), Decoder::Stillness::kStill);
    was_accepted_ = changes.has_value();
    if (!changes) {
      check(is_mounted || changes.error().code() != EUCLEAN ||
            changes.error().what().starts_with("journal"));
      return;
    }
    steps_.accept();
    model_.apply(*changes, steps_.catalog());
    note_single_links();
    // What was accepted is as it is.
    const auto again =
        steps_.decode(device_.device(), Decoder::Stillness::kStill);
    check(again.has_value() && again->empty());
  }

  // Of a directory with one link nobody counts how many it has.
  void note_single_links() {
    steps_.catalog().for_each_inode(
        [this](Ino, const CatalogInode& inode, bool, auto) {
          has_single_links_ |= inode.is_dir() && inode.links == 1;
        });
  }

  void compare_with_whole() {
    const auto changes =
        whole_.decode(device_.device(), Decoder::Stillness::kStill);
    if (has_single_links_)
      return;
    check(changes.has_value());
    whole_.accept();
    compare(steps_.catalog(), whole_.catalog());
    compare(whole_.catalog(), steps_.catalog());
  }
  static void compare(const Catalog& one, const Catalog& other) {
    one.for_each_inode([&](Ino ino, CatalogInode here, bool, auto) {
      auto there = other.inode(ino);
      check(there.has_value());
      // Whether it was ever another object only the steps can tell.
      here.generation = there->generation;
      if (here.is_free())
        there->parent = here.parent;
      check(here == *there);
      const auto mapping = one.mapping(ino);
      const auto mapping_there = other.mapping(ino);
      check(mapping.has_value() && mapping_there.has_value() &&
            *mapping == *mapping_there);
    });
  }

  DecodeDevice device_;
  DecodeModel model_;
  Decoder steps_;
  Decoder whole_;
  bool was_accepted_ = false;
  bool has_single_links_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput input(data, size);
  Run(world_of(input.byte())).run(input);
  return 0;
}
