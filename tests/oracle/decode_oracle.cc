// SPDX-License-Identifier: BSD-3-Clause
//
// What a device holds at positions of a trace: decoded, and as e2fsck and the
// kernel see it. decode_load.py makes the traces.
//
//   decode_oracle make  LOWER OUT             the device before any write
//   decode_oracle cut   LOWER TRACE... --raw OUT --kept NEW
//                                             a power cut in the last trace
//   decode_oracle check LOWER TRACE... --work DIR
//
// and of each --type T --size S --journal yes|no --seed N.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "tests/oracle/decode_check.h"
#include "tests/oracle/decoding.h"
#include "tests/support/catalog_text.h"
#include "tests/support/commit_points.h"
#include "tests/support/lower_image.h"
#include "tests/support/raw_device.h"
#include "tests/support/write_trace.h"

namespace ovl {
namespace {

struct Options {
  std::string lower;
  std::string type = "ext4";
  std::string journal = "yes";
  uint64_t size = 0;
  std::vector<std::string> traces;
  std::string raw;
  std::string kept;
  std::string work;
  uint64_t seed = 0;
  size_t commits = SIZE_MAX;  // of which the kernel is asked
  size_t between = 0;         // positions besides
  size_t still = 0;           // those behind a FLUSH
  size_t flushes = 0;         // that a client adds which does nothing else
  size_t partitions = 0;
  bool is_in_place = false;  // parts end where it is still

  bool has_journal() const { return journal == "yes"; }
  ImageOptions image() const {
    ImageOptions image;
    image.journal = has_journal();
    image.type = type == "ext2" ? FsType::kExt2 : FsType::kExt4;
    image.size = {SizeRequest::Kind::kTotal, size};
    return image;
  }
};

// Decoded besides, though the kernel is not asked.
constexpr size_t kMorePositions = 150;

using Random = std::mt19937_64;

Positions sample(const Positions& from, size_t count, Random& random) {
  Positions chosen;
  std::ranges::sample(from, std::back_inserter(chosen),
                      static_cast<ptrdiff_t>(std::min(count, from.size())),
                      random);
  return chosen;
}

Positions all_positions(const Trace& trace) {
  Positions all;
  for (size_t i = 0; i <= trace.records().size(); ++i)
    all.push_back(i);
  return all;
}

Positions still_points(const Trace& trace) {
  Positions still;
  for (size_t i = 0; i < trace.records().size(); ++i)
    if (trace.records()[i].is_flush())
      still.push_back(i + 1);
  return still;
}

void add_flushes(Trace& trace, size_t count, Random random) {
  for (; count > 0; --count)
    trace.add_flush(std::uniform_int_distribution<size_t>(
        0, trace.records().size())(random));
}

Status make(const Options& options) {
  const auto lower = OVL_TRY(LowerImage::open(options.lower, options.image()));
  return lower->write_to(options.raw);
}

// Not in an earlier trace: a repair may be among them, and where that is cut
// no kernel goes on.
Result<size_t> choose_cut(const Options& options, size_t all) {
  std::vector<std::string> earlier = options.traces;
  earlier.pop_back();
  const size_t first = OVL_TRY(Trace::open(earlier)).records().size();
  Random random(options.seed);
  return std::uniform_int_distribution<size_t>(first, all)(random);
}

Status cut(const Options& options) {
  const auto lower = OVL_TRY(LowerImage::open(options.lower, options.image()));
  const Trace trace = OVL_TRY(Trace::open(options.traces));
  const size_t all = trace.records().size();
  const size_t position = OVL_TRY(choose_cut(options, all));
  auto kept = OVL_TRY(TraceWriter::create(options.kept));
  const auto device = OVL_TRY(RawDevice::create(options.raw, *lower, trace));
  OVL_TRY(device->go_to(position, [](const TraceRecord&) {}));
  for (size_t i = 0; i < position; ++i)
    OVL_TRY(kept.append(trace.records()[i]));
  std::printf("cut behind %zu of %zu requests\n", position, all);
  return {};
}

CheckPlan plan_of(const Options& options, const LowerImage& lower,
                  const Trace& trace) {
  Random random(options.seed);
  const Positions commits =
      options.has_journal() ? commit_points(trace, journal_range(lower.image()))
                            : Positions();
  const Positions still = still_points(trace);
  const Positions between =
      sample(all_positions(trace), options.between, random);
  const Positions ends = {0, trace.records().size()};
  CheckPlan plan;
  const auto add = [&](const Positions& some) {
    plan.decoded.insert(some.begin(), some.end());
  };
  const auto ask = [&](const Positions& some) {
    add(some);
    plan.asked.insert(some.begin(), some.end());
  };
  add(commits);
  add(sample(all_positions(trace), kMorePositions, random));
  ask(sample(commits, options.commits, random));
  ask(between);
  add(sample(still, options.still == 0 ? 0 : kMorePositions, random));
  ask(sample(still, options.still, random));
  ask(ends);
  plan.sealed = {commits.begin(), commits.end()};
  plan.sealed.insert(ends.begin(), ends.end());
  return plan;
}

// All at once, then in parts, with restarts.
Positions random_steps(const Positions& ends, size_t partition,
                       Random& random) {
  std::uniform_int_distribution<size_t> up_to(1, 30);
  return sample(ends, partition == 0 ? 0 : up_to(random), random);
}

Status same_lines(const std::vector<std::string>& whole,
                  const std::vector<std::string>& parts,
                  const std::string& what) {
  const auto [a, b] = std::ranges::mismatch(whole, parts);
  if (a == whole.end() && b == parts.end())
    return {};
  return fail(EUCLEAN, fmt::format("{} are not the same:\n{}\n{}", what,
                                   a == whole.end() ? "nothing" : *a,
                                   b == parts.end() ? "nothing" : *b));
}

// The owners that were counted up on the way are those of the catalog.
Status check_owners(const Catalog& catalog) {
  const Catalog copy = OVL_TRY(copy_of(catalog));
  return same_lines(catalog_lines(catalog), catalog_lines(copy),
                    "a catalog and its copy");
}

// Written in place an inode may be on the device as another object's while its
// names are as they were, and keeps its identity where that was decoded.
Identities told_identities(const Options& options) {
  return options.is_in_place ? Identities::kLeftOut : Identities::kTold;
}

Status same_end(const Decoding& whole, const Decoding& parts,
                Identities identities) {
  const auto lines = OVL_TRY(whole.lines());
  const auto other_lines = OVL_TRY(parts.lines());
  OVL_TRY(same_lines(lines, other_lines, "trees"));
  OVL_TRY(same_lines(catalog_lines(whole.catalog(), identities),
                     catalog_lines(parts.catalog(), identities), "catalogs"));
  return check_owners(parts.catalog());
}

Status take_step(Decoding& parts, size_t position, Random& random) {
  switch (random() % 4) {
    case 0:
      return parts.crash_at(position);
    case 1:
      OVL_TRY(parts.go_to(position));
      return parts.restart();
    default:
      OVL_TRY(parts.go_to(position));
      return {};
  }
}

// The decoding, by another way, of what `whole` decoded.
Status check_partition(const Options& options, LowerImage& lower,
                       const Trace& trace, const Decoding& whole,
                       const Positions& steps) {
  const std::string directory = options.work + "/parts";
  const auto parts = OVL_TRY(Decoding::start(directory, lower, trace));
  Random random(steps.size());
  for (const size_t step : steps)
    OVL_TRY(take_step(*parts, step, random).in(fmt::format("step {}", step)));
  OVL_TRY(parts->go_to(trace.records().size()));
  std::filesystem::remove_all(directory);
  return same_end(whole, *parts, told_identities(options));
}

Status check_partitions(const Options& options, LowerImage& lower,
                        const Trace& trace, const Decoding& whole) {
  Random random(options.seed + 1);
  const Positions ends =
      options.is_in_place ? still_points(trace) : all_positions(trace);
  for (size_t i = 0; i < options.partitions; ++i) {
    const Positions steps = random_steps(ends, i, random);
    OVL_TRY(check_partition(options, lower, trace, whole, steps)
                .in(fmt::format("partition at {}", fmt::join(steps, " "))));
  }
  return {};
}

Status check(const Options& options) {
  const auto lower = OVL_TRY(LowerImage::open(options.lower, options.image()));
  Trace trace = OVL_TRY(Trace::open(options.traces));
  add_flushes(trace, options.flushes, Random(options.seed + 2));
  const CheckPlan plan = plan_of(options, *lower, trace);
  const auto whole =
      OVL_TRY(Decoding::start(options.work + "/running", *lower, trace));
  const CheckCounts counts =
      OVL_TRY(DecodeCheck(*whole, options.work).run(plan));
  OVL_TRY(check_owners(whole->catalog()));
  OVL_TRY(check_partitions(options, *lower, trace, *whole));
  std::printf(
      "%zu requests, %zu commits; %zu states decoded, %zu not yet to "
      "be decoded; %zu compared with the kernel's, of them %zu that were "
      "mended; "
      "%zu unsound\n",
      trace.records().size(), plan.sealed.size() - 2, counts.decoded,
      counts.not_yet, counts.compared, counts.mended, counts.unsound);
  return {};
}

}  // namespace
}  // namespace ovl

int main(int argc, char** argv) {
  CLI::App app("What a device holds at positions of a trace");
  ovl::Options options;
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--type", options.type);
  app.add_option("--size", options.size)->transform(CLI::AsSizeValue(false));
  app.add_option("--journal", options.journal)
      ->check(CLI::IsMember({"yes", "no"}));
  app.add_option("--seed", options.seed);
  CLI::App* make = app.add_subcommand("make", "the device, untouched");
  CLI::App* cut = app.add_subcommand("cut", "a power cut in the last trace");
  CLI::App* check = app.add_subcommand("check", "decode and compare");
  for (CLI::App* command : {make, cut, check})
    command->add_option("lower", options.lower)->required();
  make->add_option("out", options.raw)->required();
  for (CLI::App* command : {cut, check})
    command->add_option("traces", options.traces)->required();
  cut->add_option("--raw", options.raw)->required();
  cut->add_option("--kept", options.kept)->required();
  check->add_option("--work", options.work)->required();
  check->add_option("--commits", options.commits);
  check->add_option("--between", options.between);
  check->add_option("--still", options.still);
  check->add_option("--flushes", options.flushes);
  check->add_flag("--in-place", options.is_in_place);
  check->add_option("--partitions", options.partitions);
  CLI11_PARSE(app, argc, argv);

  const ovl::Status status = make->parsed()  ? ovl::make(options)
                             : cut->parsed() ? ovl::cut(options)
                                             : ovl::check(options);
  if (status.has_value())
    return 0;
  std::fprintf(stderr, "decode_oracle: %s\n", status.error().what().c_str());
  return 1;
}
