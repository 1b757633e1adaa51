// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/overlay/data_layers.h"

#include <sys/stat.h>

#include <cerrno>
#include <string>

namespace ovl {

void DataLayers::add(const Layer& layer, uint16_t index) {
  Node root;
  root.mode = S_IFDIR;
  root.layer = index;
  root.lower = kNoNode;
  layers_.push_back({layer, index, pool_.add(root)});
}

Result<NodeId> DataLayers::find(std::string_view path) {
  for (const DataLayer& data : layers_) {
    const auto object = data.layer.find(std::string(path));
    if (!object && object.error().code() != ENOENT &&
        object.error().code() != ENOTDIR && object.error().code() != ELOOP)
      return tl::unexpected(object.error());
    if (!object || !S_ISREG(object->mode))
      continue;
    Node node;
    node.mode = static_cast<uint16_t>(object->mode);
    node.layer = data.index;
    node.host_dir = data.root;
    node.host_name = pool_.strings.add(path);  // whole: host_path joins names
    node.host_ino = object->ino;
    node.size = object->size;
    node.mtime_sec = object->mtime_sec;
    node.mtime_nsec = object->mtime_nsec;
    node.ctime_tag = object->ctime_tag;
    node.holes = pool_.hole_maps.intern(object->holes);
    return pool_.add(node);
  }
  return kNoNode;
}

}  // namespace ovl
