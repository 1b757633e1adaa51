#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark runs, and its table and JSON have all that they should. No
time is looked at."""
import json
import os
import pathlib
import sys

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(REPO / "tests" / "support"))
import ovltest  # noqa: E402
from ovltest import check  # noqa: E402
from reads import CONNECTIONS, SHAPES  # noqa: E402
from start import PLUGINS  # noqa: E402

READ = ("2 files of 2 MiB", "300 files of 4 KiB")


def check_start(result):
    check(result["objects"] == 302, f"{result['objects']} objects")
    check(tuple(result["plugins"]) == PLUGINS, "plugins are missing")
    for name, found in result["plugins"].items():
        check("best" in found, f"{name}: {found}")
        for key in ("start_s", "first_read_s", "peak_rss"):
            check(found["best"][key] > 0, f"{name}: no {key}")
    check(result["plugins"]["linuxdisk"]["best"]["space"] > 0,
          "linuxdisk holds no copy")


def check_reads(report):
    check(tuple(report) == READ, "trees are missing")
    ways = [f"{shape}, {n}" for shape in SHAPES for n in CONNECTIONS]
    for title, result in report.items():
        check(list(result["ways"]) == ways, f"{title}: shapes are missing")
        for way, seen in result["ways"].items():
            check(seen["ovl"] > 0 and seen["file"] > 0 and seen["ratio"] > 0,
                  f"{title}: {way}: {seen}")


def check_table(text, report):
    rows = [line for line in text.splitlines()
            if line.endswith(("reached", "NOT REACHED"))]
    check(len(rows) == len(report["promised"]) == 18,
          f"{len(rows)} and {len(report['promised'])} promises")
    for title in (*report["start"], *READ, "tar c of the mounted tree"):
        check(title in text, f"the table does not name {title}")
    for row, promise in zip(rows, report["promised"]):
        check(promise["what"] in row and
              ("NOT" in row) == (not promise["reached"]), row)


def test(space):
    out = space.path / "bench.json"
    text = ovltest.run(sys.executable, "-B",
                       REPO / "tests" / "bench" / "bench.py", "--tiny",
                       "--runs", "1", "--json", out)
    ovltest.say(text)
    report = json.loads(out.read_text())
    check(list(report["start"]) == ["300 small files"], "trees are missing")
    check_start(report["start"]["300 small files"])
    check_reads(report["reads"])
    if os.geteuid() == 0:
        check(tuple(report["tar"]) == READ, f"tar: {report['tar']}")
    check_table(text, report)


ovltest.main(test, needs_root=os.geteuid() == 0)
