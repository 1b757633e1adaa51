// SPDX-License-Identifier: BSD-3-Clause
//
// A device that goes through a trace, and the tree that the changes decoded
// from it make. For one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fsengine/base/result.h"
#include "images/decode/base_state.h"
#include "images/decode/decoder.h"
#include "images/decode/kept_catalog.h"
#include "tests/oracle/block_history.h"
#include "tests/support/decoded_tree.h"
#include "tests/support/lower_image.h"
#include "tests/support/raw_device.h"
#include "tests/support/wrap_os.h"
#include "tests/support/write_trace.h"

namespace ovl {

/// What the guest makes of the device at a position.
enum class Situation {
  kJournal,  // it is committed to a state at every position
  kStill,    // it writes in place, and a FLUSH was the last that came
  kBusy,     // it writes in place, and may be at it
};

class Decoding {
 public:
  /// Keeps device and catalog in `directory`, which it makes. Image and trace
  /// outlive it.
  static Result<std::unique_ptr<Decoding>> start(const std::string& directory,
                                                 LowerImage& base,
                                                 const Trace& trace);

  /// Decodes the device at `position`, which is not before the last one. False
  /// when it is in no state to be decoded: what was written stays to be.
  Result<bool> go_to(size_t position);
  /// Why not; meaningful after go_to() said false.
  const std::string& refusal() const { return refusal_; }

  /// Does so, too, and keeps the catalog; but the host crashes before the mark
  /// tells of it. Goes on as after a restart.
  Status crash_at(size_t position);

  /// Goes on with a new decoder, which has read the catalog, and is told of
  /// what was written since the last decode that the mark tells of.
  Status restart();

  /// The decoded tree's manifest, holes included; and with a nameless_line.
  Result<std::vector<std::string>> tree_lines() const;
  Result<std::vector<std::string>> lines() const;

  Result<Situation> situation() const;

  const Catalog& catalog() const { return decoder_->catalog(); }
  int file() const { return device_->file(); }

 private:
  Decoding(LowerImage& base, const Trace& trace,
           std::unique_ptr<RawDevice> device, DecodedTree tree);
  Result<bool> step(size_t position);
  Status tell();
  void note(const TraceRecord& record);
  std::string nameless() const;

  const BaseState base_;
  const Trace& trace_;
  const std::unique_ptr<RawDevice> device_;
  DecodedTree tree_;
  // No host crashes here.
  class UnsyncedOs : public WrapOs {
   public:
    Status fdatasync(int) override { return {}; }
    Status fsync(int) override { return {}; }
  };

  UnsyncedOs os_;
  Fd directory_;
  std::optional<KeptCatalog> kept_;
  KeptCatalog::Place place_;  // of what was kept last
  KeptCatalog::Place mark_;   // what a start finds
  std::unique_ptr<Decoder> decoder_;
  BlockHistory history_;
  size_t decoded_ = 0;  // the position that the tree is of
  Decoder::Stillness stillness_ = Decoder::Stillness::kStill;
  std::string refusal_;
};

}  // namespace ovl
