// SPDX-License-Identifier: BSD-3-Clause
//
// From what a guest wrote to what it changed: the state that its file system
// is committed to, compared with the catalog. The essay is in ARCHITECTURE.md,
// "The way of a checkpoint".
//
// For one thread at a time. Guest bytes are hostile: whatever they are, a
// decode ends, in time bounded by what was written, with changes that make a
// tree or with an error.
#pragma once

#include <memory>
#include <optional>

#include "fsengine/base/block_source.h"
#include "fsengine/base/change.h"
#include "images/decode/block_set.h"
#include "images/decode/catalog.h"
#include "images/decode/catalog_codec.h"
#include "images/ext_superblock.h"
#include "images/journal/committed_view.h"
#include "images/journal/journal_log.h"

namespace ovl {

class Decoder {
 public:
  /// Goes on from `catalog`, whose base outlives the decoder: an empty one is
  /// the base image's, of which nothing was written.
  explicit Decoder(Catalog catalog);
  ~Decoder();

  /// The guest wrote, zeroed or trimmed blocks. Told between two decodes, of
  /// all blocks that differ from the view that was accepted last; more do no
  /// harm.
  void note_written(BlockNo first, uint64_t count);

  /// What is the state that the guest wrote in place worth?
  enum class Stillness {
    kBusy,   // writes may be under way
    kStill,  // a FLUSH was the last that came
  };

  /// How the committed state of `device` differs from what was accepted last.
  /// Accepts nothing: decoding again, also a later state, is right. The device
  /// outlives the next decode, and its bytes do not change until then.
  ///
  /// EBUSY: no state to take, wait for a later one (a file system in use
  /// without a journal that is not still, or not consistent yet; or one in
  /// which the guest noted errors, in superblock or journal). ENOTSUP: not a
  /// file system that this decodes. EUCLEAN: it is inconsistent.
  Result<Changes> decode(const BlockSource& device, Stillness stillness);

  /// The catalog is advanced to what was decoded; tells what of it is not as it
  /// was. REQUIRES: the last decode succeeded, and was not accepted yet.
  CatalogDelta accept();

  /// The committed bytes of a regular file, holes as zeros. Lives until the
  /// next decode. REQUIRES: the last decode was accepted.
  Result<std::unique_ptr<BlockSource>> open_file(Ino ino) const;

  /// Of the view that was decoded last, and lives: how many blocks from `first`
  /// on, at most `max`, the device itself has as they are committed.
  uint64_t blocks_in_place(BlockNo first, uint64_t max) const;

  /// How the guest used the file system that was decoded last.
  FsMode mode() const { return mode_; }
  const Catalog& catalog() const { return catalog_; }
  /// The last transaction of the journal that is known: those up to it are
  /// committed, or never will be.
  uint32_t last_transaction() const { return journal_.last_transaction(); }
  /// No transaction behind this one had begun in the state that was decoded
  /// last; nothing when that cannot be told. jbd2 commits one at a time, while
  /// the next one is running.
  std::optional<uint32_t> last_running() const;
  /// The device that was decoded last, as it is committed. REQUIRES: it lives,
  /// and the decode had no error.
  const BlockSource& committed() const { return *view_; }

 private:
  struct Pending;

  Result<FsMode> look_at(const BlockSource& device, Stillness stillness);
  Result<bool> look_at_journal(const BlockSource& device);
  static Result<bool> check_journal(const BlockSource& device);
  void forget_journal();
  Status advance_journal(const BlockSource& device);
  Status find_journal(const BlockSource& device);
  Status check_geometry(const BlockSource& view,
                        const std::vector<BlockNo>& changed) const;
  Status run(const BlockSource& view, Pending& pending) const;

  Catalog catalog_;
  const BaseState& base_;
  const Image& image_;
  ExtInode::Bytes journal_inode_{};
  Mapping journal_mapping_;
  JournalLog journal_;
  BlockSet written_;
  BlockSet touched_;  // by the journal
  FsMode mode_ = FsMode::kClean;
  std::optional<CommittedView> view_;
  std::unique_ptr<Pending> pending_;
};

}  // namespace ovl
