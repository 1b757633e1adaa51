// SPDX-License-Identifier: BSD-3-Clause
#include "fsengine/base/result.h"

#include <cerrno>

#include <system_error>

namespace ovl {

tl::unexpected<Error> system_error(int errno_value,
                                   std::string_view operation) {
  return fail(errno_value, std::string(operation) + ": " +
                               std::generic_category().message(errno_value));
}

tl::unexpected<Error> last_error(std::string_view operation) {
  return system_error(errno, operation);
}

}  // namespace ovl
