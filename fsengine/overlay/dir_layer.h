// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/base/fd.h"
#include "fsengine/overlay/layer.h"

namespace ovl {

/// A directory of the host as a layer. It is seen as overlayfs sees it, without
/// what is mounted in it, where privilege allows; otherwise a mount point in it
/// is an empty directory or file. What is mounted in it is never entered.
class DirLayer : public Layer {
 public:
  /// Errors name `path`.
  static Result<std::unique_ptr<Layer>> open(const std::string& path);

  const std::string& name() const override { return name_; }
  Result<LayerObject> root() const override;
  Result<std::vector<LayerObject>> list(const std::string& path) const override;
  Result<LayerObject> find(const std::string& path) const override;
  Result<Fd> open_dir(const std::string& path) const override;

 private:
  DirLayer(std::string name, Fd mount, Fd root)
      : name_(std::move(name)),
        mount_(std::move(mount)),
        root_(std::move(root)) {}

  std::string name_;
  // Of the layer without its submounts, or not open. A mount that nothing
  // holds is dissolved, and every path through it takes a lock of the system's.
  Fd mount_;
  Fd root_;
};

}  // namespace ovl
