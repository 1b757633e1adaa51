// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/nbd_guest_script.h"

#include <cerrno>

#include <charconv>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>

namespace ovl {

namespace {

Result<char> unescape(std::string_view digits) {
  unsigned value = 0;
  const char* end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, value, 8);
  if (error != std::errc() || at != end || digits.size() != 3 || value > 255)
    return fail(EINVAL, "a backslash without three octal digits");
  return static_cast<char>(value);
}

Result<uint64_t> number(const std::string& word, int base = 10) {
  uint64_t value = 0;
  const char* end = word.data() + word.size();
  const auto [at, error] = std::from_chars(word.data(), end, value, base);
  if (error != std::errc() || at != end)
    return fail(EINVAL, "bad number " + word);
  return value;
}

Result<uint32_t> small(const std::string& word, int base = 10) {
  const uint64_t value = OVL_TRY(number(word, base));
  if (value > UINT32_MAX)
    return fail(EINVAL, "number too large: " + word);
  return static_cast<uint32_t>(value);
}

Result<int64_t> signed_number(const std::string& word) {
  const bool negative = word.starts_with('-');
  const uint64_t value = OVL_TRY(number(word.substr(negative ? 1 : 0)));
  const auto magnitude = static_cast<int64_t>(value);
  return negative ? -magnitude : magnitude;
}

Result<std::string> from_hex(const std::string& word) {
  std::string bytes;
  for (size_t i = 0; i < word.size(); i += 2) {
    const uint32_t byte = OVL_TRY(small(word.substr(i, 2), 16));
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

Result<uint64_t> size_of(const GuestFs& fs, const std::string& path) {
  const Ino ino = OVL_TRY(fs.lookup(path));
  const GuestInode inode = OVL_TRY(fs.read_inode(ino));
  return uint64_t{inode.fields.i_size_high} << 32 | inode.fields.i_size;
}

Status do_mkdir(GuestFs& fs, const Words& words) {
  const uint32_t mode = OVL_TRY(small(words[2], 8));
  return fs.mkdir(words[1], mode);
}

Status do_create(GuestFs& fs, const Words& words) {
  const uint32_t mode = OVL_TRY(small(words[2], 8));
  return fs.make_node(words[1], S_IFREG | (mode & 07777));
}

Result<uint32_t> type_of(const std::string& letter) {
  static const std::map<std::string, uint32_t> types = {
      {"c", S_IFCHR}, {"b", S_IFBLK}, {"p", S_IFIFO}, {"s", S_IFSOCK}};
  const auto at = types.find(letter);
  if (at == types.end())
    return fail(EINVAL, "bad type " + letter);
  return at->second;
}

Status do_mknod(GuestFs& fs, const Words& words) {
  const uint32_t type = OVL_TRY(type_of(words[2]));
  const uint32_t mode = OVL_TRY(small(words[3], 8));
  if (words.size() == 4)
    return fs.make_node(words[1], type | (mode & 07777));
  if (words.size() != 6)
    return fail(EINVAL, "mknod needs both numbers or none");
  const uint32_t major = OVL_TRY(small(words[4]));
  const uint32_t minor = OVL_TRY(small(words[5]));
  return fs.make_node(words[1], type | (mode & 07777),
                      DeviceNo::of(major, minor));
}

Status write_anew(GuestFs& fs, const std::string& path,
                  const std::string& text) {
  const Result<Ino> there = fs.lookup(path);
  if (!there.has_value() && there.error().code() == ENOENT)
    OVL_TRY(fs.make_node(path, S_IFREG | 0644));
  else
    OVL_TRY(fs.truncate(path, 0));
  return fs.write(path, 0, bytes_of(text));
}

Status do_write(GuestFs& fs, const Words& words) {
  return write_anew(fs, words[1], words[2]);
}

Status do_copy(GuestFs& fs, const Words& words) {
  std::ifstream in(words[2], std::ios::binary);
  if (!in)
    return last_error("open " + words[2]);
  const std::string text((std::istreambuf_iterator<char>(in)),
                         std::istreambuf_iterator<char>());
  return write_anew(fs, words[1], text);
}

Status do_append(GuestFs& fs, const Words& words) {
  const uint64_t end = OVL_TRY(size_of(fs, words[1]));
  return fs.write(words[1], end, bytes_of(words[2]));
}

Status do_pwrite(GuestFs& fs, const Words& words) {
  const uint64_t offset = OVL_TRY(number(words[2]));
  return fs.write(words[1], offset, bytes_of(words[3]));
}

Status do_truncate(GuestFs& fs, const Words& words) {
  const uint64_t size = OVL_TRY(number(words[2]));
  return fs.truncate(words[1], size);
}

Status do_punch(GuestFs& fs, const Words& words) {
  const uint64_t first = OVL_TRY(number(words[2]));
  const uint64_t blocks = OVL_TRY(number(words[3]));
  return fs.punch(words[1], first, blocks);
}

Status do_chmod(GuestFs& fs, const Words& words) {
  const uint32_t mode = OVL_TRY(small(words[2], 8));
  return fs.chmod(words[1], mode);
}

Status do_chown(GuestFs& fs, const Words& words) {
  const uint32_t uid = OVL_TRY(small(words[2]));
  const uint32_t gid = OVL_TRY(small(words[3]));
  return fs.chown(words[1], {uid, gid});
}

Status do_utimens(GuestFs& fs, const Words& words) {
  const int64_t sec = OVL_TRY(signed_number(words[2]));
  const uint32_t nsec = OVL_TRY(small(words[3]));
  return fs.set_mtime(words[1], {sec, nsec});
}

Status do_setxattr_hex(GuestFs& fs, const Words& words) {
  const std::string value = OVL_TRY(from_hex(words[3]));
  return fs.set_xattr(words[1], words[2], value);
}

Result<uint32_t> flag_of(char letter) {
  switch (letter) {
    case 'i':
      return EXT2_IMMUTABLE_FL;
    case 'a':
      return EXT2_APPEND_FL;
    case 'A':
      return EXT2_NOATIME_FL;
    case 'S':
      return EXT2_SYNC_FL;
    default:
      return fail(EINVAL, std::string("bad flag ") + letter);
  }
}

Status do_chattr(GuestFs& fs, const Words& words) {
  if (!words[2].starts_with('='))
    return fail(EINVAL, "flags begin with =");
  uint32_t flags = 0;
  for (const char letter : words[2].substr(1))
    flags |= OVL_TRY(flag_of(letter));
  return fs.set_flags(words[1], flags);
}

struct Command {
  size_t min_words;
  size_t max_words;
  std::function<Status(GuestFs&, const Words&)> run;
};

const std::map<std::string, Command>& commands() {
  static const std::map<std::string, Command> table = {
      {"mkdir", {3, 3, do_mkdir}},
      {"create", {3, 3, do_create}},
      {"mknod", {4, 6, do_mknod}},
      {"rmdir", {2, 2, [](auto& fs, auto& w) { return fs.rmdir(w[1]); }}},
      {"rmtree",
       {2, 2, [](auto& fs, auto& w) { return fs.remove_tree(w[1]); }}},
      {"unlink", {2, 2, [](auto& fs, auto& w) { return fs.unlink(w[1]); }}},
      {"symlink",
       {3, 3, [](auto& fs, auto& w) { return fs.symlink(w[1], w[2]); }}},
      {"link", {3, 3, [](auto& fs, auto& w) { return fs.link(w[1], w[2]); }}},
      {"rename",
       {3, 3, [](auto& fs, auto& w) { return fs.rename(w[1], w[2]); }}},
      {"write", {3, 3, do_write}},
      {"copy", {3, 3, do_copy}},
      {"append", {3, 3, do_append}},
      {"pwrite", {4, 4, do_pwrite}},
      {"truncate", {3, 3, do_truncate}},
      {"punch", {4, 4, do_punch}},
      {"chmod", {3, 3, do_chmod}},
      {"chown", {4, 4, do_chown}},
      {"chattr", {3, 3, do_chattr}},
      {"utimens", {4, 4, do_utimens}},
      {"setxattr",
       {4, 4,
        [](auto& fs, auto& w) { return fs.set_xattr(w[1], w[2], w[3]); }}},
      {"setxattr-hex", {4, 4, do_setxattr_hex}},
      {"rmxattr",
       {3, 3, [](auto& fs, auto& w) { return fs.remove_xattr(w[1], w[2]); }}},
  };
  return table;
}

}  // namespace

Result<Words> split_words(std::string_view line) {
  Words words;
  bool in_word = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == ' ' || line[i] == '\t') {
      in_word = false;
      continue;
    }
    if (!in_word)
      words.emplace_back();
    in_word = true;
    if (line[i] == '\\') {
      words.back() += OVL_TRY(unescape(line.substr(i + 1, 3)));
      i += 3;
    } else {
      words.back() += line[i];
    }
  }
  for (std::string& word : words)
    if (word == "''")
      word.clear();
  return words;
}

Status run_command(GuestFs& fs, const Words& words) {
  const auto at = commands().find(words[0]);
  if (at == commands().end())
    return fail(EINVAL, "there is no command " + words[0]);
  const Command& command = at->second;
  if (words.size() < command.min_words || words.size() > command.max_words)
    return fail(EINVAL, words[0] + ": wrong number of words");
  return command.run(fs, words).in(words[0] + " " + words[1]);
}

}  // namespace ovl
