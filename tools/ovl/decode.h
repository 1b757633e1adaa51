// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <CLI/App.hpp>

namespace ovl {

/// `ovl decode WORKDIR`: what a guest changed that is kept there.
void add_decode(CLI::App& app);

}  // namespace ovl
