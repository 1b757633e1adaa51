// SPDX-License-Identifier: BSD-3-Clause
//
// A guest without root and without a kernel: libext2fs over libnbd.
//
//   nbd_guest URI dump              prints the manifest of the tree
//   nbd_guest URI COMMAND WORD...   does one command
//   nbd_guest URI < SCRIPT          does the commands of a script
//
// Commands: nbd_guest_script.h. The first that fails ends the run, with exit
// status 1; what was done before it is on the device.
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "tests/support/nbd_guest_device.h"
#include "tests/support/nbd_guest_dump.h"
#include "tests/support/nbd_guest_script.h"

namespace ovl {
namespace {

struct Options {
  std::string uri;
  Words command;
  ManifestFormat format;
};

Status dump(const NbdDevice& device, const ManifestFormat& format) {
  const GuestFs fs = OVL_TRY(GuestFs::open(device));
  Manifest manifest = OVL_TRY(dump_guest(fs, device));
  return manifest.print(stdout, format);
}

Status run_script(GuestFs& fs, std::istream& in) {
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const std::string where = "line " + std::to_string(number);
    const Words words = OVL_TRY(split_words(line).in(where));
    if (!words.empty() && !words[0].starts_with('#'))
      OVL_TRY(run_command(fs, words).in(where));
  }
  return {};
}

Status change(NbdDevice& device, const Words& command) {
  GuestFs fs = OVL_TRY(GuestFs::open(device, device.sink()));
  Status done =
      command.empty() ? run_script(fs, std::cin) : run_command(fs, command);
  OVL_TRY(fs.close());
  return done;
}

Status run(const Options& options) {
  const auto device = OVL_TRY(NbdDevice::connect(options.uri));
  if (!options.command.empty() && options.command[0] == "dump")
    return dump(*device, options.format);
  return change(*device, options.command);
}

}  // namespace
}  // namespace ovl

int main(int argc, char** argv) {
  CLI::App app("A guest on an NBD export, without root");
  ovl::Options options;
  app.add_option("uri", options.uri, "an NBD URI, or the path of a socket")
      ->required();
  app.add_option("command", options.command, "none: a script from stdin");
  app.add_flag("!--no-owner", options.format.owner, "dump no uid and gid");
  app.add_flag("!--no-root-mtime", options.format.root_mtime,
               "dump no mtime of the root");
  app.add_flag("--holes", options.format.holes, "dump where files have data");
  CLI11_PARSE(app, argc, argv);

  const ovl::Status status = ovl::run(options);
  if (status.has_value())
    return 0;
  std::fprintf(stderr, "nbd_guest: %s\n", status.error().what().c_str());
  return 1;
}
