// SPDX-License-Identifier: BSD-3-Clause
#include "tests/support/lower_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace ovl {
namespace {

constexpr uint64_t kPart = 1 << 20;

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes,
                             [](std::byte b) { return b == std::byte{}; });
}

}  // namespace

Result<std::unique_ptr<LowerImage>> LowerImage::open(
    const std::string& lower, const ImageOptions& options) {
  StackOptions layers;
  layers.lowers = {lower};
  auto stack = OVL_TRY(Stack::open(layers));
  auto image = OVL_TRY(Image::build(stack->lower(), stack->merged(), options));
  return std::unique_ptr<LowerImage>(
      new LowerImage(std::move(stack), std::move(image)));
}

Status LowerImage::write_to(const std::string& path) const {
  const Fd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.is_open() ||
      ::ftruncate(file.get(), static_cast<off_t>(device_.size())) != 0)
    return last_error(path + ": create");
  std::vector<std::byte> buffer(kPart);
  for (uint64_t at = 0; at < device_.size();) {
    const uint64_t length = std::min(kPart, device_.size() - at);
    const auto part = std::span(buffer).first(length);
    OVL_TRY(device_.read(at, part));
    if (!is_zero(part) &&
        ::pwrite(file.get(), part.data(), length, static_cast<off_t>(at)) !=
            static_cast<ssize_t>(length))
      return last_error(path + ": write");
    at += length;
  }
  return {};
}

}  // namespace ovl
