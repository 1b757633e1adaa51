// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/host_tree.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "fsengine/base/paths.h"

namespace ovl {
namespace {

std::map<std::string, std::string> read_xattrs(const std::string& path) {
  std::map<std::string, std::string> xattrs;
  std::array<char, XATTR_LIST_MAX> names;
  std::array<char, XATTR_SIZE_MAX> value;
  const ssize_t length = ::listxattr(path.c_str(), names.data(), names.size());
  for (ssize_t at = 0; at < length;) {
    const std::string name = names.data() + at;
    const ssize_t got =
        ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    xattrs[name].assign(value.data(),
                        static_cast<size_t>(std::max<ssize_t>(got, 0)));
    at += static_cast<ssize_t>(name.size()) + 1;
  }
  return xattrs;
}

void read_pages(const std::string& path, HostObject& file) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  off_t at = ::lseek(fd.get(), 0, SEEK_DATA);
  for (; at >= 0; at = ::lseek(fd.get(), at, SEEK_DATA)) {
    HostPage page{};
    (void)!::pread(fd.get(), page.data(), page.size(), at);
    if (page != HostPage{})
      file.pages[static_cast<uint64_t>(at) / kHostPage] = page;
    at += kHostPage;
  }
}

}  // namespace

HostTree HostTree::read(const std::set<std::string>& roots,
                        std::map<uint64_t, Fd>* links) {
  HostTree tree;
  for (const std::string& root : roots) {
    struct stat st {};
    ::lstat(root.c_str(), &st);
    tree.roots_.insert(st.st_ino);
    tree.add(root, links);
  }
  return tree;
}

void HostTree::add(const std::string& path, std::map<uint64_t, Fd>* links) {
  Fd link(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat st {};
  ::fstat(link.get(), &st);
  if (objects_.contains(st.st_ino))
    return;
  HostObject& object = objects_[st.st_ino];
  object.attributes = HostAttributes::of(st);
  const std::string own_path = own_fd_path(link.get());
  object.xattrs = read_xattrs(own_path);
  if (object.is_file()) {
    object.size = static_cast<uint64_t>(st.st_size);
    read_pages(own_path, object);
  }
  if (object.is_dir())
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      struct stat child {};
      ::lstat(entry.path().c_str(), &child);
      object.names[entry.path().filename()] = child.st_ino;
      add(entry.path(), links);
    }
  if (links != nullptr)
    (*links)[st.st_ino] = std::move(link);
}

void HostTree::make(const HostOp& op) {
  objects_[op.object] = {.attributes = op.after};
}

void HostTree::apply(const HostOp& op) {
  using Kind = HostOp::Kind;
  if (op.is_of_names())
    return apply_to_names(op);
  if (op.is_of_bytes())
    return apply_torn(op, kHostPage, [](uint64_t) { return true; });
  HostObject& object = objects_[op.object];
  object.attributes = op.after;
  if (op.kind == Kind::kSetXattr)
    object.xattrs[op.name] = {reinterpret_cast<const char*>(op.bytes.data()),
                              op.bytes.size()};
  else if (op.kind == Kind::kRemoveXattr)
    object.xattrs.erase(op.name);
  else if (op.kind == Kind::kTruncate)
    resize(object, op.length);
  else if (op.kind == Kind::kPunch)
    zero(object, op.offset, std::min(object.size, op.offset + op.length));
}

void HostTree::apply_to_names(const HostOp& op) {
  using Kind = HostOp::Kind;
  HostObject& dir = objects_[op.dir];
  dir.attributes.mtime = op.dir_mtime;
  if (op.kind == Kind::kMake || op.kind == Kind::kLink) {
    dir.names[op.name] = op.object;
    return;
  }
  const uint64_t object = dir.names[op.name];
  dir.names.erase(op.name);
  if (op.kind == Kind::kRemove || op.kind == Kind::kRemoveDir)
    return;
  HostObject& to_dir = objects_[op.to_dir];
  to_dir.attributes.mtime = op.to_dir_mtime;
  const uint64_t replaced = to_dir.names[op.to_name];
  to_dir.names[op.to_name] = object;
  if (op.kind == Kind::kExchange)
    dir.names[op.name] = replaced;
}

void HostTree::apply_torn(const HostOp& op, uint64_t unit, const Keep& keep) {
  HostObject& file = objects_[op.object];
  const uint64_t end = op.offset + op.bytes.size();
  bool is_any_kept = false;
  for (uint64_t at = op.offset; at < end;) {
    const uint64_t next = std::min(end, (at / unit + 1) * unit);
    if (keep(at)) {
      write(file, at, &op.bytes[at - op.offset], next - at);
      is_any_kept = true;
    }
    at = next;
  }
  if (is_any_kept)
    file.attributes.mtime = op.after.mtime;
}

void HostTree::write(HostObject& file, uint64_t offset, const std::byte* bytes,
                     uint64_t length) {
  file.size = std::max(file.size, offset + length);
  while (length > 0) {
    const uint64_t into = offset % kHostPage;
    const uint64_t part = std::min(length, kHostPage - into);
    std::copy_n(bytes, part, file.pages[offset / kHostPage].data() + into);
    if (file.pages[offset / kHostPage] == HostPage{})
      file.pages.erase(offset / kHostPage);
    offset += part;
    bytes += part;
    length -= part;
  }
}

void HostTree::resize(HostObject& file, uint64_t size) {
  if (size < file.size)
    zero(file, size, file.size);
  file.size = size;
}

void HostTree::zero(HostObject& file, uint64_t begin, uint64_t end) {
  const HostPage zeros{};
  const uint64_t size = file.size;
  for (uint64_t at = begin; at < end;) {
    const uint64_t part = std::min(end - at, kHostPage - at % kHostPage);
    if (file.pages.contains(at / kHostPage))
      write(file, at, zeros.data(), part);
    at += part;
  }
  file.size = size;
}

void HostTree::drop_nameless() {
  std::set<uint64_t> named;
  std::vector<uint64_t> waiting(roots_.begin(), roots_.end());
  while (!waiting.empty()) {
    const uint64_t number = waiting.back();
    waiting.pop_back();
    if (named.insert(number).second)
      for (const auto& [name, child] : objects_[number].names)
        waiting.push_back(child);
  }
  std::erase_if(objects_, [&](const auto& entry) {
    return !named.contains(entry.first);
  });
}

std::vector<std::string> HostTree::difference(const HostTree& other) const {
  std::vector<std::string> lines;
  for (const auto& [number, object] : objects_) {
    const auto at = other.objects_.find(number);
    if (at == other.objects_.end() || at->second != object)
      lines.push_back("- " + std::to_string(number));
  }
  for (const auto& [number, object] : other.objects_)
    if (!objects_.contains(number))
      lines.push_back("+ " + std::to_string(number));
  return lines;
}

}  // namespace ovl
