// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>

#include "fsengine/base/result.h"
#include "fsengine/device/config.h"

namespace ovl {

/// The key=value parameters of the command line. Errors name the key.
class Parameters {
 public:
  Status set(std::string_view key, const std::string& value);
  /// Nothing required is missing, and what was set fits together.
  Status check() const;
  /// The configuration; paths in it are absolute.
  const DeviceConfig& config() const { return config_; }

 private:
  DeviceConfig config_;
};

}  // namespace ovl
