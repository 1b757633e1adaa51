// SPDX-License-Identifier: BSD-3-Clause
//
// A file of ours that is written whole and read whole (FORMAT.md, "Checked
// files"): what it is, its version, its content, and a hash of all that.
// Content is put and got in the same order, without a copy of it in memory.
// Numbers and arrays of plain values go as they stand in memory: little endian.
// For one thread at a time.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <xxhash.h>

#include "fsengine/base/fd.h"
#include "fsengine/base/os.h"
#include "fsengine/base/result.h"

namespace ovl {

static_assert(std::endian::native == std::endian::little);

/// What a checked file is called, and what its first bytes say.
struct FileKind {
  const char* name;
  const char* new_name;  // while it is written
  std::array<char, 8> magic;
  uint32_t version;
};

/// A value whose bytes in memory are its bytes in the file.
template <typename T>
concept Plain = std::is_trivially_copyable_v<T> &&
    std::has_unique_object_representations_v<T>;

struct FreeHashState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};
using HashState = std::unique_ptr<XXH3_state_t, FreeHashState>;

/// Writes beside the old file, and takes its place in one durable step. Errors
/// name the file; after one, the old file is as it was.
class CheckedWriter {
 public:
  /// `os` and `directory` outlive the writer.
  static Result<CheckedWriter> create(Os& os, int directory,
                                      const FileKind& kind);

  Status put_bytes(std::span<const std::byte> bytes);

  template <Plain T>
  Status put(const T& value) {
    return put_bytes(std::as_bytes(std::span(&value, 1)));
  }
  /// Its length in 32 bits, then its bytes.
  Status put_string(std::string_view text);

  /// The file is there, durably, once this has returned without an error.
  Status commit();

 private:
  CheckedWriter(Os& os, int directory, const FileKind& kind, Fd fd);
  Status write_out();

  Os* os_;
  int directory_;
  FileKind kind_;
  Fd fd_;
  HashState hash_;
  std::vector<std::byte> buffer_;
  uint64_t offset_ = 0;  // of the buffer in the file
};

/// Reads what a CheckedWriter wrote. Whether it is whole is known only at the
/// end, by finish(): until then what was got is to be used with care, and a
/// length with remaining() in mind. EUCLEAN for damage. But for open(), errors
/// do not name the file.
class CheckedReader {
 public:
  /// ENOENT when there is none, EPROTO when it is of another kind or version.
  static Result<CheckedReader> open(int directory, const FileKind& kind);

  /// Bytes of content that are still to get.
  uint64_t remaining() const { return buffer_.size() - at_ + unread_; }

  Status get_bytes(std::span<std::byte> out);

  template <Plain T>
  Result<T> get() {
    T value;
    OVL_TRY(get_bytes(std::as_writable_bytes(std::span(&value, 1))));
    return value;
  }
  Result<std::string> get_string();

  /// EUCLEAN unless `count` values of `bytes` each may still come.
  Status expect(uint64_t count, uint64_t bytes) const;

  /// EUCLEAN unless all was got, and all is as it was written.
  Status finish();

 private:
  CheckedReader(Fd fd, uint64_t content);
  Status refill();

  Fd fd_;
  HashState hash_;
  std::vector<std::byte> buffer_;
  size_t at_ = 0;        // in the buffer
  uint64_t offset_ = 0;  // of what is behind the buffer
  uint64_t unread_;      // content behind the buffer
};

/// Removes it and what a writer left that did not come to its end; durably, and
/// no error when there is nothing.
Status remove_checked_file(Os& os, int directory, const FileKind& kind);

/// The Error for content that a writer does not write.
tl::unexpected<Error> damaged(std::string_view why);

}  // namespace ovl
