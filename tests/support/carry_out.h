// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "fsengine/device/device.h"
#include "tests/support/journaled_guest.h"

namespace ovl {

/// What a guest asks for, asked of a device.
inline Status carry_out(Device& device, const GuestRequest& request) {
  switch (request.kind) {
    case GuestRequest::Kind::kWrite:
      return device.write(request.offset, request.bytes);
    case GuestRequest::Kind::kZero:
      return device.zero(request.offset, request.bytes.size());
    case GuestRequest::Kind::kFlush:
      return device.flush();
  }
  return {};
}

}  // namespace ovl
