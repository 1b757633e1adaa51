// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/line_diff.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace ovl {
namespace {

constexpr size_t kShown = 100;  // of a field
constexpr size_t kBefore = 20;  // of what is the same in it

using Fields = std::vector<std::string_view>;
using ByPath = std::map<std::string_view, std::string_view>;

std::string_view path_of(std::string_view line) {
  return line.substr(0, line.find(' '));
}

ByPath by_path(const std::vector<std::string>& lines) {
  ByPath found;
  for (const std::string_view line : lines)
    found[path_of(line)] = line;
  return found;
}

Fields fields_of(std::string_view line) {
  Fields fields;
  for (;;) {
    const size_t end = line.find(' ');
    fields.push_back(line.substr(0, end));
    if (end == std::string_view::npos)
      return fields;
    line.remove_prefix(end + 1);
  }
}

std::string cut(std::string_view field, size_t from) {
  if (field.size() <= kShown)
    return std::string(field);
  return (from > 0 ? "..." : "") + std::string(field.substr(from, kShown));
}

std::string field_diff(std::string_view left, std::string_view right) {
  const auto same = std::ranges::mismatch(left, right).in1 - left.begin();
  const size_t from = std::max<size_t>(static_cast<size_t>(same), kBefore);
  return cut(left, from - kBefore) + " | " + cut(right, from - kBefore);
}

std::string object_diff(std::string_view left, std::string_view right) {
  const Fields a = fields_of(left);
  const Fields b = fields_of(right);
  std::string text(a[0]);
  for (size_t i = 1; i < a.size() && i < b.size(); ++i)
    if (a[i] != b[i])
      text += "  " + field_diff(a[i], b[i]);
  return text;
}

}  // namespace

std::vector<std::string> line_diff(const std::vector<std::string>& left,
                                   const std::vector<std::string>& right) {
  std::vector<std::string> out;
  if (left == right)
    return out;
  const ByPath left_lines = by_path(left);
  const ByPath right_lines = by_path(right);
  for (const auto& [path, line] : left_lines) {
    const auto other = right_lines.find(path);
    if (other == right_lines.end())
      out.push_back("only left: " + cut(line, 0));
    else if (other->second != line)
      out.push_back(object_diff(line, other->second));
  }
  for (const auto& [path, line] : right_lines)
    if (!left_lines.contains(path))
      out.push_back("only right: " + cut(line, 0));
  return out;
}

}  // namespace ovl
