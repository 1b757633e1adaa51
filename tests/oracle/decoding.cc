// SPDX-License-Identifier: BSD-3-Clause
#include "tests/oracle/decoding.h"

#include <array>
#include <cerrno>
#include <filesystem>

#include "fsengine/base/units.h"
#include "tests/support/replayed_tree.h"
#include "tests/support/temp_dir.h"

namespace ovl {
namespace {

constexpr uint64_t kIncompatFeatures = 1024 + 0x60;  // in the superblock
constexpr uint8_t kNeedsRecovery = 4;

}  // namespace

Decoding::Decoding(LowerImage& base, const Trace& trace,
                   std::unique_ptr<RawDevice> device, DecodedTree tree)
    : base_(base.image()),
      trace_(trace),
      device_(std::move(device)),
      tree_(std::move(tree)),
      decoder_(std::make_unique<Decoder>(Catalog(base_))),
      history_(decoder_->catalog()) {}

Result<std::unique_ptr<Decoding>> Decoding::start(const std::string& directory,
                                                  LowerImage& base,
                                                  const Trace& trace) {
  std::filesystem::create_directory(directory);
  auto device = OVL_TRY(RawDevice::create(directory + "/device", base, trace));
  auto tree = OVL_TRY(DecodedTree::of_base(base));
  std::unique_ptr<Decoding> decoding(
      new Decoding(base, trace, std::move(device), std::move(tree)));
  decoding->directory_ = open_dir(directory);
  decoding->kept_.emplace(decoding->os_, decoding->directory_.get());
  return decoding;
}

void Decoding::note(const TraceRecord& record) {
  stillness_ = record.is_flush() ? Decoder::Stillness::kStill
                                 : Decoder::Stillness::kBusy;
  const uint64_t first = record.offset / kBlockSize;
  if (record.length > 0)
    decoder_->note_written(BlockNo{first},
                           blocks_for(record.offset + record.length) - first);
}

Result<bool> Decoding::go_to(size_t position) {
  const bool is_decoded = OVL_TRY(step(position));
  if (is_decoded)
    OVL_TRY(tell());
  return is_decoded;
}

Result<bool> Decoding::step(size_t position) {
  OVL_TRY(device_->go_to(position,
                         [this](const TraceRecord& record) { note(record); }));
  auto changes = decoder_->decode(*device_, stillness_);
  if (!changes && changes.error().code() == EBUSY) {
    refusal_ = changes.error().what();
    return false;
  }
  const Changes decoded = OVL_TRY(std::move(changes).in("decode"));
  const CatalogDelta delta = decoder_->accept();
  // Two positions may be of one state; those of the log are all different.
  place_ = OVL_TRY(kept_->keep(catalog(), delta,
                               {position + 1, decoder_->last_transaction()}));
  OVL_TRY(history_.check(decoded, catalog()));
  const auto open_file = [this](Ino ino) { return decoder_->open_file(ino); };
  OVL_TRY(tree_.apply(decoded, open_file).in("apply"));
  decoded_ = position;
  return true;
}

Status Decoding::tell() {
  mark_ = place_;
  return kept_->forget_old();
}

Status Decoding::crash_at(size_t position) {
  DecodedTree tree = tree_;
  BlockHistory history = history_;
  const size_t decoded = decoded_;
  OVL_TRY(step(position));
  tree_ = std::move(tree);
  history_ = std::move(history);
  decoded_ = decoded;
  return restart();
}

Status Decoding::restart() {
  Catalog catalog(base_);
  OVL_TRY(kept_->read(mark_, catalog));
  decoder_ = std::make_unique<Decoder>(std::move(catalog));
  for (size_t i = decoded_; i < device_->position(); ++i)
    note(trace_.records()[i]);
  return {};
}

Result<Situation> Decoding::situation() const {
  std::array<std::byte, 1> features;
  OVL_TRY(device_->read(kIncompatFeatures, features));
  if ((std::to_integer<uint8_t>(features[0]) & kNeedsRecovery) != 0)
    return Situation::kJournal;
  return stillness_ == Decoder::Stillness::kStill ? Situation::kStill
                                                  : Situation::kBusy;
}

std::string Decoding::nameless() const {
  std::vector<uint32_t> inodes;
  catalog().for_each_inode(
      [&](Ino ino, const CatalogInode& inode, const auto&...) {
        if (!inode.is_free() && inode.links == 0)
          inodes.push_back(to_int(ino));
      });
  return nameless_line(std::move(inodes));
}

Result<std::vector<std::string>> Decoding::tree_lines() const {
  return manifest_lines(tree_.manifest(), {.holes = true, .all_flags = true});
}

Result<std::vector<std::string>> Decoding::lines() const {
  auto lines = OVL_TRY(tree_lines());
  lines.push_back(nameless());
  return lines;
}

}  // namespace ovl
