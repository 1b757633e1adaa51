#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Decoding one change costs the same in trees and directories of any size.

Counted, not timed: blocks read of the device, and instructions (callgrind).
"""
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import check, say  # noqa: E402

MOST = 1.5  # of the largest to the smallest

# The change, and the trees it is made in: files, and files in a directory.
CASES = {
    "touch": ((2000, 100), (20000, 100), (200000, 100)),
    "write": ((2000, 100), (20000, 100), (200000, 100)),
    # A block of a directory is compared whole: so those that fill one, at least.
    "create": ((2000, 150), (20000, 10000), (100000, 100000)),
}


def cost(space, change, files, in_directory):
    """Blocks read, and instructions."""
    out = space.path / f"callgrind-{change}-{files}-{in_directory}"
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
         "--toggle-collect=*measured*",
         ovltest.BUILD / "tests" / "decode_cost", "--change", change,
         "--files", str(files), "--in-directory", str(in_directory)],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(done.returncode == 0, done.stdout + done.stderr)
    blocks = int(re.search(r"(\d+) blocks read", done.stdout)[1])
    instructions = int(re.search(r"Collected : (\d+)", done.stderr)[1])
    check(instructions > 1000, done.stderr)
    return blocks, instructions


def test(space):
    for change, trees in CASES.items():
        costs = [cost(space, change, *tree) for tree in trees]
        for tree, (blocks, instructions) in zip(trees, costs):
            say(f"{change}: {tree[0]} files, {tree[1]} in a directory: "
                f"{blocks} blocks, {instructions} instructions")
        for index, what in enumerate(("blocks", "instructions")):
            values = [each[index] for each in costs]
            check(max(values) <= MOST * min(values),
                  f"{change}: {what}: {values}")


if __name__ == "__main__":
    ovltest.main(test, needs_root=False)
