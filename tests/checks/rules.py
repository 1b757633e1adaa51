#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The tests that tests/RULES.md names exist."""
import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).parents[1]
DEFINED = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)", re.MULTILINE)


def main():
    defined = {".".join(found) for source in TESTS.glob("unit/*.cc")
               for found in DEFINED.findall(source.read_text())}
    named = re.findall(r"`(\w+\.\w+)`", (TESTS / "RULES.md").read_text())
    missing = sorted(set(named) - defined)
    print(f"{len(named)} tests named, {len(missing)} missing", *missing)
    return 1 if missing or not named else 0


sys.exit(main())
