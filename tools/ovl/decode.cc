// SPDX-License-Identifier: BSD-3-Clause
#include "tools/ovl/decode.h"

#include <cstdio>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "fsengine/device/pending.h"
#include "tools/ovl/change_paths.h"

namespace ovl {

namespace {

const char* word_for(FsMode mode) {
  switch (mode) {
    case FsMode::kJournal:
      return "in use, as of the last committed transaction";
    case FsMode::kClean:
      return "unmounted";
    case FsMode::kUnjournaled:
      return "in use without a journal, or not unmounted";
  }
  return "";
}

Status print_changes(const std::string& work) {
  auto pending = PendingChanges::open(host_os(), work);
  if (!pending && pending.error().code() == ENOENT) {
    fmt::print("# {}: nothing was written\n", work);
    return {};
  }
  if (!pending)
    return tl::unexpected(pending.error());
  const Changes changes = OVL_TRY((*pending)->decode().in(work));
  const Decoder& decoder = (*pending)->decoder();
  fmt::print("# {}: {}{}\n", work, word_for(decoder.mode()),
             (*pending)->is_settled() ? "; upper shows all of it" : "");
  const ChangePaths paths((*pending)->tree(), decoder.catalog(), changes);
  for (const std::string& line : OVL_TRY(paths.lines()))
    fmt::print("{}\n", line);
  return {};
}

}  // namespace

void add_decode(CLI::App& app) {
  CLI::App* decode = app.add_subcommand(
      "decode",
      "Print what a guest changed, from the workdir of a device that "
      "no server uses");
  auto work = std::make_shared<std::string>();
  decode->add_option("WORKDIR", *work, "its workdir=")->required();
  decode->callback([work] {
    const Status status = print_changes(*work);
    if (status)
      return;
    fmt::print(stderr, "ovl: {}\n", status.error().what());
    throw CLI::RuntimeError(1);
  });
}

}  // namespace ovl
