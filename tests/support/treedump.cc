// SPDX-License-Identifier: BSD-3-Clause
//
// Prints the manifest of a tree; see manifest.h for the lines.
#include <cstdio>

#include <CLI/CLI.hpp>

#include "tests/support/host_manifest.h"
#include "tests/support/layers_manifest.h"
#include "tests/support/manifest.h"

namespace {

ovl::Status print(ovl::Result<ovl::Manifest> manifest,
                  const ovl::ManifestFormat& format) {
  ovl::Manifest read = OVL_TRY(std::move(manifest));
  return read.print(stdout, format);
}

void add_format_options(CLI::App& app, ovl::ManifestFormat& format) {
  app.add_flag("!--no-owner", format.owner, "print no uid and gid");
  app.add_flag("!--no-root-mtime", format.root_mtime,
               "print no mtime of the root");
  app.add_flag("--holes", format.holes, "print where files have data");
}

CLI::App* add_dir_command(CLI::App& app, ovl::HostScan& scan) {
  CLI::App* dir = app.add_subcommand("dir", "a directory of this host");
  dir->add_option("path", scan.root)->required();
  dir->add_flag("--one-file-system", scan.one_file_system,
                "leave out what is mounted below");
  dir->add_option("--exclude", scan.exclude, "leave out this path and below");
  dir->add_flag("!--no-content", scan.content, "read no file");
  return dir;
}

CLI::App* add_layers_command(CLI::App& app, ovl::StackOptions& stack) {
  CLI::App* layers = app.add_subcommand("layers", "layers, by our own reader");
  layers->add_option("lower", stack.lowers, "topmost first")->required();
  layers->add_option("--upper", stack.upper);
  layers->add_option("--data", stack.data_only, "data-only layers");
  layers->add_flag_callback(
      "--userxattr", [&stack] { stack.family = ovl::XattrFamily::kUser; },
      "the layers use user.overlay.*");
  return layers;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Prints the manifest of a tree, one line an object");
  ovl::ManifestFormat format;
  ovl::HostScan host;
  ovl::StackOptions stack;
  app.require_subcommand(1);
  app.fallthrough();
  add_format_options(app, format);
  add_dir_command(app, host);
  const CLI::App* layers = add_layers_command(app, stack);
  CLI11_PARSE(app, argc, argv);

  const ovl::Status status = print(
      layers->parsed() ? ovl::scan_layers(stack) : ovl::scan_host_tree(host),
      format);
  if (status.has_value())
    return 0;
  std::fprintf(stderr, "treedump: %s\n", status.error().what().c_str());
  return 1;
}
