// SPDX-License-Identifier: BSD-3-Clause
//
// The command-line tool: one file for each subcommand.
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include "tools/ovl/decode.h"
#include "tools/ovl/status.h"

namespace {

int run(int argc, char** argv) {
  CLI::App app("Looks at devices of nbdkit-ovl-plugin(1)", "ovl");
  app.set_version_flag("--version", OVL_VERSION);
  app.require_subcommand(1);
  ovl::add_decode(app);
  ovl::add_status(app);
  CLI11_PARSE(app, argc, argv);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ovl: %s\n", error.what());
    return 1;
  }
}
