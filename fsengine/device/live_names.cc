// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/live_names.h"

#include <cerrno>
#include <utility>

#include "images/decode/catalog_names.h"

namespace ovl {

Status LiveNames::start(const Catalog& catalog) {
  auto tree = std::make_unique<LiveTree>(
      LiveTree::Start{stack_.merged(), stack_.lower(),
                      [this](const ObjectId& id) { return node_of(id); },
                      [this](NodeId node) { return id_of(node); }});
  tree->apply(OVL_TRY(names_since_base(catalog)));
  const WriterLock lock(mutex_);
  tree_ = std::move(tree);
  return {};
}

NodeId LiveNames::node_of(const ObjectId& id) const {
  const NodeId node = base_.image().node_of(id.ino);
  return node != kNoNode && id_of(node) == id ? node : kNoNode;
}

ObjectId LiveNames::id_of(NodeId node) const {
  const Ino ino = base_.image().ino_of(node);
  const auto inode = base_.inode(ino);
  return inode ? ovl::id_of(ino, *inode) : ObjectId{};
}

// Only readers look for paths meanwhile.
Status LiveNames::find_standings(const Tree& now, const UpperVisitor& visit,
                                 const MayLack& may_lack) {
  const WriterLock lock(mutex_);
  return take_standings(now, *tree_, visit, may_lack);
}

void LiveNames::begin(const Changes& changes,
                      const std::vector<LivePlan::Placed>& placed,
                      const PublishPlan& steps, Fd staging) {
  if (half_)
    return;
  auto half = std::make_unique<const HalfPublished>(steps, std::move(staging));
  const WriterLock lock(mutex_);
  tree_->apply(changes);
  for (const LivePlan::Placed& one : placed)
    tree_->set_standing(one.id, one.standing);
  half_ = std::move(half);
}

void LiveNames::end() {
  const WriterLock lock(mutex_);
  half_.reset();
}

std::string LiveNames::path(const ObjectId& id) const {
  const ReaderLock lock(mutex_);
  return tree_ ? tree_->path(id) : "";
}

Result<Fd> LiveNames::open(const ObjectId& id, uint64_t ino) const {
  const ReaderLock lock(mutex_);
  const std::string path = tree_ ? tree_->path(id) : "";
  if (path.empty() || !half_)
    return fail(ESTALE, "no file of upper's");
  return half_->open(upper_, path, ino);
}

}  // namespace ovl
