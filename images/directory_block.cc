// SPDX-License-Identifier: BSD-3-Clause
#include "images/directory_block.h"

#include "images/dir_block.h"
#include "images/htree_block.h"

namespace ovl {

namespace {

void add_entry(const Layout& layout, const Entry& entry,
               DirBlockWriter& writer) {
  const NodePool& pool = layout.pool();
  const Slot& target = layout.slot(layout.live_slot(entry.node));
  writer.add(target.ino, pool[entry.node].mode, pool.name(entry));
}

void add_dots(const Layout& layout, uint32_t slot, DirBlockWriter& writer) {
  writer.add(layout.slot(slot).ino, S_IFDIR, ".");
  writer.add(layout.directory(slot).parent, S_IFDIR, "..");
}

void fill_linear(const Layout& layout, uint32_t slot, uint32_t block,
                 std::span<std::byte> out) {
  DirBlockWriter writer(out);
  if (block == 0)
    add_dots(layout, slot, writer);
  for (const Entry& entry :
       layout.entries_of_block(layout.directory(slot), block))
    add_entry(layout, entry, writer);
  writer.finish();
}

void fill_leaf(const Layout& layout, uint32_t slot,
               std::span<const uint32_t> indices, std::span<std::byte> out) {
  const auto entries = layout.pool().entries(layout.slot(slot).node);
  DirBlockWriter writer(out);
  for (const uint32_t index : indices)
    add_entry(layout, entries[index], writer);
  writer.finish();
}

}  // namespace

void fill_directory_block(const Layout& layout, uint32_t slot, uint32_t block,
                          std::span<std::byte> out) {
  const HashedDirectory* hashed = layout.hashed_directory(slot);
  if (hashed == nullptr)
    return fill_linear(layout, slot, block, out);
  if (block >= hashed->first_leaf())
    return fill_leaf(layout, slot, hashed->leaf_entries(block), out);
  const auto entries = hashed->index_entries(block);
  if (block > 0)
    return fill_htree_node(entries, out);
  DirBlockWriter writer(out);
  add_dots(layout, slot, writer);
  writer.finish();
  fill_htree_root(entries, hashed->has_nodes() ? 1 : 0, out);
}

}  // namespace ovl
