// SPDX-License-Identifier: BSD-3-Clause
//
// The file `layout` of a state directory (FORMAT.md, "The layout"): the trees
// that an image was laid out from, and all that its layout depends on besides.
// With it, inode numbers and places outlive the server, and a start needs no
// scan.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fsengine/base/os.h"
#include "fsengine/base/result.h"
#include "fsengine/overlay/stack.h"

namespace ovl {

/// One of the user's parameters, as its name and a text that says what it
/// amounts to, defaults resolved.
struct Parameter {
  std::string name;
  std::string value;
};

struct LayoutRecord {
  /// Those with which the state means something else, or nothing, if they are
  /// not the same again; but for the layers.
  std::vector<Parameter> parameters;
  uint64_t device_bytes = 0;
  uint64_t fingerprint = 0;  // of the image
};

struct SavedLayout {
  LayoutRecord record;
  SavedStack stack;
};

/// Writes it beside the old one, and takes its place in one durable step.
/// REQUIRES: the stack has an upper; nobody adds to its pool meanwhile. Nodes
/// of a guest's tree are left out.
Status write_layout(Os& os, int state_dir, const LayoutRecord& record,
                    const Stack& stack);

/// ENOENT when there is none, EPROTO when it is of an unknown version, EUCLEAN
/// when it is damaged; all but the first name the file.
Result<SavedLayout> read_layout(int state_dir);

/// No error when there is none.
Status remove_layout(Os& os, int state_dir);

/// EINVAL, naming the parameter, at the first difference between what `kept`
/// was made with and what the user wants now.
Status check_wanted(const SavedLayout& kept, const StackOptions& layers,
                    const std::vector<Parameter>& parameters);

}  // namespace ovl
