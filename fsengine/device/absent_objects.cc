// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/device/absent_objects.h"

#include <cerrno>
#include <utility>

#include "fsengine/base/checked_file.h"

namespace ovl {
namespace {

constexpr FileKind kAbsentFile{
    "absent", "absent.new", {'o', 'v', 'l', 'a', 'b', 's', 'n', 't'}, 1};
constexpr const char* kPath = "workdir: ovl/absent";

Result<std::set<Ino>> get_inodes(CheckedReader& in) {
  const auto count = OVL_TRY(in.get<uint64_t>());
  OVL_TRY(in.expect(count, sizeof(uint32_t)));
  std::set<Ino> inodes;
  for (uint64_t i = 0; i < count; ++i)
    inodes.insert(Ino{OVL_TRY(in.get<uint32_t>())});
  OVL_TRY(in.finish());
  return inodes;
}

}  // namespace

Status AbsentObjects::read() {
  auto in = CheckedReader::open(state_dir_, kAbsentFile);
  if (!in && in.error().code() == ENOENT)
    return {};
  if (!in)
    return tl::unexpected(in.error().in("workdir: ovl"));
  inodes_ = OVL_TRY(get_inodes(*in).in(kPath));
  return {};
}

Status AbsentObjects::add(const std::set<Ino>& inodes) {
  std::set<Ino> all = inodes_;
  all.insert(inodes.begin(), inodes.end());
  return keep_only(std::move(all));
}

Status AbsentObjects::keep_only(std::set<Ino> inodes) {
  if (inodes == inodes_)
    return {};
  OVL_TRY(inodes.empty() ? remove(os_, state_dir_)
                         : write(inodes).in("workdir: ovl"));
  inodes_ = std::move(inodes);
  return {};
}

Status AbsentObjects::write(const std::set<Ino>& inodes) {
  auto out = OVL_TRY(CheckedWriter::create(os_, state_dir_, kAbsentFile));
  OVL_TRY(out.put(uint64_t{inodes.size()}));
  for (const Ino ino : inodes)
    OVL_TRY(out.put(to_int(ino)));
  return out.commit();
}

Status AbsentObjects::remove(Os& os, int state_dir) {
  return remove_checked_file(os, state_dir, kAbsentFile).in("workdir: ovl");
}

}  // namespace ovl
