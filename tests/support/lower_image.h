// SPDX-License-Identifier: BSD-3-Clause
//
// A device over one lower directory, as it is before anybody wrote: the same
// bytes each time, as long as the directory stays as it is.
#pragma once

#include <memory>
#include <string>

#include "fsengine/base/result.h"
#include "fsengine/device/base_source.h"
#include "fsengine/overlay/file_reader.h"
#include "fsengine/overlay/stack.h"
#include "images/image.h"

namespace ovl {

class LowerImage {
 public:
  static Result<std::unique_ptr<LowerImage>> open(const std::string& lower,
                                                  const ImageOptions& options);

  const Image& image() const { return *image_; }
  NodePool& pool() { return stack_->pool(); }
  Tree tree() const { return stack_->merged(); }
  const BlockSource& device() const { return device_; }

  /// The bytes of a regular file of the tree.
  std::unique_ptr<BlockSource> content(NodeId id) { return files_.content(id); }

  /// Makes sparse file `path` with the device's bytes.
  Status write_to(const std::string& path) const;

 private:
  LowerImage(std::unique_ptr<Stack> stack, std::unique_ptr<Image> image)
      : stack_(std::move(stack)),
        image_(std::move(image)),
        files_(*stack_, [](const std::string&) {}),
        device_(*image_, files_) {}

  std::unique_ptr<Stack> stack_;
  std::unique_ptr<Image> image_;
  FileReader files_;
  BaseSource device_;
};

}  // namespace ovl
