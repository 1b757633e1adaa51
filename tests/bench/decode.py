#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How fast a guest's untar is decoded, and what the catalog takes.

    tests/bench/decode.py [--files N] [--runs N]      as root

A kernel makes N files in directories of 1000 on the device, syncs, and is cut
off; what it left is decoded, from the journal and in place, each run anew.
"""
import argparse
import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, run, say  # noqa: E402


def make_files(guest, count):
    for number in range(count):
        place = guest / f"dir{number // 1000}"
        if number % 1000 == 0:
            place.mkdir()
        (place / f"file-{number}").write_bytes(b"%d\n" % number * 100)


def test(space, files, runs):
    lower, upper, work = (space.dir(x) for x in ("lower", "upper", "work"))
    (lower / "a").write_text("a")
    server = Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                    f"workdir={work}", "size=+4G", "type=ext4").start()
    with contextlib.suppress(Failure):
        with server.mounted() as guest:
            make_files(guest, files)
            run("sync", "-f", guest)
            server.kill()
    for _ in range(runs):
        objects, seconds, memory = run(
            ovltest.BUILD / "tests" / "decode_workdir", work).split()
        objects, seconds = int(objects), float(seconds)
        say(f"{objects} objects in {seconds:.3f} s: "
            f"{objects / seconds:,.0f} a second; "
            f"{int(memory) / objects:.0f} bytes of catalog an object")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=100000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    ovltest.main(test, args.files, args.runs)
