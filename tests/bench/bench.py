#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Start, memory and reading, side by side with nbdkit's own plugins.

    tests/bench/bench.py [--runs N] [--tree DIR]... [--json FILE] [--tiny]

In one run: start to first reply and peak memory beside linuxdisk, floppy and
a bare parallel scan, on /usr and on 50 000 and 200 000 small files; reading
the device beside `nbdkit file` on a raw copy of the image; `tar c` of the
mounted tree beside the same on that copy (root). The best of the runs is
printed, then what is promised of them and whether it is reached; the JSON has
all. It takes about 15 minutes, and the size of /usr in TMPDIR for linuxdisk's
copy. --tiny measures next to nothing, to try it all out.
"""
import argparse
import json
import os
import pathlib
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(REPO / "tests" / "support"))
import ovltest  # noqa: E402
from mounted import bench_mounted, print_mounted  # noqa: E402
from reads import bench_reads, print_reads, read_targets  # noqa: E402
from start import bench_start, print_start, start_targets  # noqa: E402
from trees import make_small_files  # noqa: E402

MIB = 1 << 20
FULL = {"starts": (50_000, 200_000), "requests": 100_000,
        "reads": {"4 files of 64 MiB": (4, 64 * MIB),
                  "200 files of 1 MiB": (200, MIB),
                  "20 000 files of 4 KiB": (20_000, 4096)}}
TINY = {"starts": (300,), "requests": 500,
        "reads": {"2 files of 2 MiB": (2, 2 * MIB),
                  "300 files of 4 KiB": (300, 4096)}}


def bench_starts(args, sizes):
    report = {}
    for tree in args.tree:
        report[tree] = bench_start(ovltest.BUILD, tree, args.runs)
        print_start(tree, report[tree])
    for count in sizes:
        title = f"{count} small files"
        with tempfile.TemporaryDirectory(prefix="ovl-bench-tree-") as where:
            tree = make_small_files(pathlib.Path(where) / "tree", count)
            report[title] = bench_start(ovltest.BUILD, tree, args.runs)
            print_start(title, report[title])
    return report


def bench_tar(space, trees, runs):
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        return {"skipped": "mounting needs root and /dev/fuse"}
    return bench_mounted(space, trees, runs)


def targets(report):
    for title, result in report["start"].items():
        yield from start_targets(title, result)
    yield from read_targets(report["reads"])


def print_targets(rows):
    print("\nPromised")
    for what, value, wanted, reached in rows:
        print(f"  {what:62} {value:7.2f}  {wanted:8} "
              f"{'reached' if reached else 'NOT REACHED'}")


def bench(space, args):
    sizes = TINY if args.tiny else FULL
    report = {"runs": args.runs, "start": bench_starts(args, sizes["starts"])}
    report["reads"] = bench_reads(space, sizes["reads"], args.runs,
                                  sizes["requests"])
    print_reads(report["reads"])
    report["tar"] = bench_tar(space, sizes["reads"], args.runs)
    print_mounted(report["tar"])
    rows = list(targets(report))
    print_targets(rows)
    report["promised"] = [
        dict(zip(("what", "value", "wanted", "reached"), row)) for row in rows]
    pathlib.Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nall numbers: {args.json}")


def main():
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tree", action="append")
    parser.add_argument("--json", default=ovltest.BUILD / "bench.json")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    if args.tree is None:
        args.tree = [] if args.tiny else ["/usr"]
    ovltest.main(bench, args, needs_root=os.geteuid() == 0)


if __name__ == "__main__":
    main()
