// SPDX-License-Identifier: BSD-3-Clause
//
// A file tree in memory that knows nothing but the changes it was told: what
// decoding is proved with. It starts as the tree of a base image, and takes
// each value of Changes at its word, so that whatever a decoder forgets, or
// tells wrong, is in its manifest. What a change says of the state before is
// compared with the state that is here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fsengine/base/change.h"
#include "fsengine/base/result.h"
#include "tests/support/decoded_file.h"
#include "tests/support/lower_image.h"
#include "tests/support/manifest.h"

namespace ovl {

class DecodedTree {
 public:
  /// The content of a regular file as it is behind the changes.
  using OpenFile = std::function<Result<std::unique_ptr<BlockSource>>(Ino)>;

  static Result<DecodedTree> of_base(LowerImage& base);

  /// EUCLEAN when the changes do not fit what is here, or leave it so that it
  /// is no tree: the message tells which object or name. The tree is then not
  /// to be used.
  Status apply(const Changes& changes, const OpenFile& open_file);

  /// All objects, without lost+found.
  Manifest manifest() const;

 private:
  struct Object {
    Attributes attributes;
    XattrSet xattrs;
    std::string target;
    DecodedFile file;
    std::map<std::string, ObjectId> names;  // of a directory
    uint32_t named = 0;                     // how many names lead here
  };
  using Objects = std::map<ObjectId, Object>;

  Result<ObjectId> add_base(LowerImage& base, NodeId id);
  Status add_base_names(LowerImage& base, const ObjectId& directory, NodeId id);

  Status add_made(const Changes& changes);
  Status apply_names(const std::vector<NameChange>& changes);
  Status apply_name(const NameChange& change);
  Status lead(const NameChange& change, Object& directory);
  Status apply_object(const ObjectChange& change, const OpenFile& open_file);
  Status apply_parts(const ObjectChange& change, Object& object,
                     const OpenFile& open_file);
  Status remove(const ObjectChange& change);
  Status check_source(const ObjectChange& change) const;
  Status check_all() const;
  void list(const std::string& path, const ObjectId& id,
            Manifest& manifest) const;

  ObjectId root_;
  Objects objects_;
  std::map<ObjectId, NodeId> base_;  // what the base image showed
};

}  // namespace ovl
