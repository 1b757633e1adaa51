// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <CLI/App.hpp>

namespace ovl {

/// `ovl status WORKDIR`: how a device stands, a server at work or not.
void add_status(CLI::App& app);

}  // namespace ovl
