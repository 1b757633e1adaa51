// SPDX-License-Identifier: BSD-3-Clause
#include "tools/ovl/status.h"

#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "fsengine/device/work_status.h"

namespace ovl {
namespace {

const char* word_for(const WorkStatus& status) {
  switch (status.mark.phase) {
    case Phase::kSettled:
      return "shows all of the device, which was unmounted";
    case Phase::kWriting:
      return "shows a state that the device was committed to";
    case Phase::kPublishing:
    case Phase::kCheckpointing:
      break;
  }
  return status.server == 0 ? "half changed: the next start of a server ends it"
                            : "is being changed";
}

void print(const WorkStatus& status) {
  fmt::print("server: {}\n", status.server == 0
                                 ? "none"
                                 : fmt::format("process {}", status.server));
  fmt::print("device: {} bytes\n", status.mark.base.size);
  fmt::print("upperdir: {}\n", word_for(status));
  fmt::print("log: {} bytes\n", status.log_bytes);
  fmt::print("blocks: {} bytes\n", status.store_bytes);
  if (status.absent > 0)
    fmt::print("only on the device: {} objects\n", status.absent);
  if (!status.trouble.empty())
    fmt::print("held back: {}\n", one_line(status.trouble));
}

Status print_status(const std::string& work) {
  const auto status = OVL_TRY(read_work_status(host_os(), work));
  if (status)
    print(*status);
  else
    fmt::print("# {}: nothing was written\n", work);
  return {};
}

}  // namespace

void add_status(CLI::App& app) {
  CLI::App* status = app.add_subcommand(
      "status", "Print how a device stands, while it is served or not");
  auto work = std::make_shared<std::string>();
  status->add_option("WORKDIR", *work, "its workdir=")->required();
  status->callback([work] {
    const Status printed = print_status(*work);
    if (printed)
      return;
    fmt::print(stderr, "ovl: {}\n", printed.error().what());
    throw CLI::RuntimeError(1);
  });
}

}  // namespace ovl
