// SPDX-License-Identifier: BSD-3-Clause
//
// A name that comes must not be in the directory already, in a block that was
// not compared. A directory is as large as its owner likes, and one more name
// in it has to cost little: the image answers for what is as in the base image
// by a search in its tree, and its blocks are only read where it says yes, as
// when a name went at an earlier checkpoint and comes back. Names that the
// guest made stand in the catalog, which is looked through.
#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include <fmt/format.h>

#include "images/decode/name_pass.h"

namespace ovl {

namespace {

using Names = std::vector<std::string_view>;  // sorted

Status check_not_in(const PackedNames& block, const Names& come) {
  auto name = come.begin();
  for (auto at = block.begin(); !at.at_end(); ++at) {
    while (name != come.end() && *name < (*at).name)
      ++name;
    if (name == come.end())
      return {};
    if (*name == (*at).name)
      return fail(EUCLEAN,
                  fmt::format("name '{}' is there twice", one_line(*name)));
  }
  return {};
}

}  // namespace

Status NamePass::check_unique() const {
  std::unordered_set<uint64_t> compared;
  for (const auto& [block, names] : new_blocks_)
    compared.insert(to_int(block));
  for (size_t at = 0; at < names_.size();) {
    const Ino directory = names_[at].directory;
    Names come;
    for (; at < names_.size() && names_[at].directory == directory; ++at)
      if (to_int(names_[at].before) == 0)
        come.push_back(names_[at].name);
    if (!come.empty())
      OVL_TRY(check_unique_in(directory, come, compared)
                  .in(fmt::format("directory {}", to_int(directory))));
  }
  return {};
}

Status NamePass::check_unique_in(
    Ino directory, const Names& come,
    const std::unordered_set<uint64_t>& compared) const {
  const Image& image = catalog_.base().image();
  const bool was_in_base = std::ranges::any_of(
      come,
      [&](std::string_view name) { return image.has_name(directory, name); });
  const Mapping mapping = OVL_TRY(mapping_of(directory));
  for (const MapRun& run : mapping)
    for (uint32_t i = 0; i < run.count && run.kind == RunKind::kData; ++i) {
      const BlockNo block{uint64_t{run.device} + i};
      const PackedNames* known = catalog_.known_names(block);
      if ((known == nullptr && !was_in_base) ||
          compared.contains(to_int(block)))
        continue;
      if (known != nullptr) {
        OVL_TRY(check_not_in(*known, come));
        continue;
      }
      const PackedNames base =
          OVL_TRY(catalog_.names(block, run.file_block + i == 0));
      OVL_TRY(check_not_in(base, come));
    }
  return {};
}

}  // namespace ovl
