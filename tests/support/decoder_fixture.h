// SPDX-License-Identifier: BSD-3-Clause
//
// A decoder over the device of ExtReaderFixture, told of what a guest wrote
// there, and its changes as lines of text.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "images/decode/catalog_names.h"
#include "images/decode/decoder.h"
#include "tests/support/ext_reader_fixture.h"

namespace ovl {

class DecoderFixture : public ExtReaderFixture {
 protected:
  explicit DecoderFixture(FsType type = FsType::kExt2)
      : ExtReaderFixture(type), base_(*image_) {
    start_anew();
  }

  void start_anew() {
    decoder_ = std::make_unique<Decoder>(Catalog(base_));
    names_.clear();
    accepted_.emplace(pool_, *image_);
  }

  Result<Changes> decode(
      Decoder::Stillness stillness = Decoder::Stillness::kStill) {
    note_written();
    return decoder_->decode(*device_, stillness);
  }

  /// What changed since the last call, which is accepted.
  Changes take() {
    auto changes = decode();
    EXPECT_TRUE(changes.has_value()) << changes.error().what();
    if (!changes)
      return {};
    accept();
    check_names(*changes);
    return std::move(*changes);
  }
  CatalogDelta accept() {
    accepted_->restore(*device_);
    return decoder_->accept();
  }
  Error decode_error() {
    const auto changes = decode();
    return changes ? Error(0, "decoded") : changes.error();
  }

  /// The inode number of `path` in the guest's file system now.
  Ino ino(std::string_view path) {
    auto fs = GuestFs::open(*device_);
    EXPECT_TRUE(fs.has_value()) << fs.error().what();
    const auto found = fs->lookup(path);
    EXPECT_TRUE(found.has_value()) << path;
    return found ? *found : Ino{};
  }

  static const ObjectChange* find(const Changes& changes, Ino ino) {
    for (const ObjectChange& object : changes.objects)
      if (object.id.ino == ino)
        return &object;
    return nullptr;
  }

  /// A line for each part: `made 12 100644 all x content 5: 0+1`.
  static std::vector<std::string> lines(const Changes& changes) {
    std::vector<std::string> out;
    for (const ObjectChange& object : changes.objects)
      out.push_back(line(object));
    for (const NameChange& name : changes.names)
      out.push_back(line(name));
    return out;
  }
  static std::string line(const ObjectChange& object) {
    static constexpr const char* kKinds[] = {"made", "changed", "gone"};
    std::string text =
        fmt::format("{} {} {:o}", kKinds[static_cast<int>(object.kind)],
                    to_int(object.id.ino), object.attributes.mode);
    text += attribute_words(object.attributes_changed);
    if (object.is_kept)
      text += " kept";
    if (object.xattrs)
      text += fmt::format(" {} xattrs", object.xattrs->size());
    if (object.target)
      text += " -> " + *object.target;
    if (object.content)
      text += line(*object.content);
    return text;
  }
  static std::string line(const ContentChange& content) {
    std::string text = fmt::format(" {} bytes", content.size);
    for (const FileRange& range : content.changed)
      text += fmt::format(" {}{}+{}", range.is_hole ? "hole " : "", range.first,
                          range.count);
    return text + (content.has_moved_blocks ? " moved" : "");
  }
  static std::string line(const NameChange& name) {
    const auto text = [](const std::optional<ObjectId>& id) {
      return id ? std::to_string(to_int(id->ino)) : "none";
    };
    return fmt::format("{} '{}': {} now {}", to_int(name.directory.ino),
                       name.name, text(name.before), text(name.now));
  }

  BaseState base_;
  std::unique_ptr<Decoder> decoder_;

 private:
  // What the changes sum up to is what the catalog tells of itself.
  void check_names(const Changes& changes) {
    for (const NameChange& change : changes.names) {
      const std::pair key(change.directory, change.name);
      const auto at = names_.try_emplace(key, change).first;
      at->second.now = change.now;
      if (at->second.before == at->second.now)
        names_.erase(at);
    }
    const auto told = names_since_base(decoder_->catalog());
    ASSERT_TRUE(told.has_value()) << told.error().what();
    std::vector<std::string> sum;
    std::vector<std::string> names;
    for (const auto& [key, change] : names_)
      sum.push_back(line(change));
    for (const NameChange& change : told->names)
      names.push_back(line(change));
    std::ranges::sort(sum);
    std::ranges::sort(names);
    ASSERT_EQ(names, sum);
  }

  // Since the base, of all that was taken.
  std::map<std::pair<ObjectId, std::string>, NameChange> names_;

  static std::string attribute_words(uint8_t bits) {
    static constexpr std::pair<uint8_t, const char*> kWords[] = {
        {kModeChanged, " mode"},
        {kOwnerChanged, " owner"},
        {kTimeChanged, " time"},
        {kFlagsChanged, " flags"},
        {kDeviceChanged, " device"}};
    if (bits == kAllAttributes)
      return " all";
    std::string text;
    for (const auto& [bit, word] : kWords)
      text += (bits & bit) != 0 ? word : "";
    return text;
  }

  void note_written() {
    std::array<std::byte, kBlockSize> before;
    for (const auto& [number, block] : device_->written()) {
      EXPECT_TRUE(accepted_->read(number * kBlockSize, before).has_value());
      if (before != block)
        decoder_->note_written(BlockNo{number}, 1);
    }
  }

  std::optional<MemoryDevice> accepted_;
};

}  // namespace ovl
