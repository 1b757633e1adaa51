// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/result.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace ovl {

tl::unexpected<Error> system_error(int errno_value,
                                   std::string_view operation) {
  const char* text = ::strerrordesc_np(errno_value);
  return fail(errno_value,
              text != nullptr
                  ? fmt::format("{}: {}", operation, text)
                  : fmt::format("{}: error {}", operation, errno_value));
}

tl::unexpected<Error> last_error(std::string_view operation) {
  return system_error(errno, operation);
}

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f)
      line += c;
    else
      line += fmt::format("\\{:03o}", byte);
  }
  return line;
}

}  // namespace ovl
