#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What is decoded of a device while a kernel works on it, against what e2fsck
and the kernel say that the device holds: at commit records, and between.

A story is three sessions of the kernel on one device: with an unmount after
the first, sometimes a repair, a power cut in the second, an unmount at the end.
All requests are recorded; then decode_oracle goes through them, decodes at
every commit record, and compares trees with the kernel at a choice of them.

    decode_load.py --type ext2|ext4 [--mount NAME]... [--seed N]...
                   [--fresh COUNT] [--load NAME]...
                   [--commits N] [--between N] [--partitions N]

--commits and --between say at how many commit records and at how many other
positions the kernel is asked in each story. OVL_DECODE_SOAK=N asks at all
commit records and at N positions between.

With a seed the same is done again; what the kernel writes, and when, depends
on its timing, too. So look at the recorded traces: OVL_KEEP=1 keeps them, and
the message of a failure has the command that goes through them again. A fresh
seed without --mount is used with two mounts.
"""
import argparse
import os
import pathlib
import random
import secrets
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import decode_loads  # noqa: E402
import decode_tree  # noqa: E402
import ovltest  # noqa: E402
from ovltest import Server, check, run, say  # noqa: E402

RECORDER = ovltest.BUILD / "tests" / "write_recorder.so"
ORACLE = ovltest.BUILD / "tests" / "decode_oracle"
SMALL, LARGE = "126M", "2100M"  # with a journal of 4 MiB, of 64 MiB

# Name: size of the device, type to mount it as, options.
MOUNTS = {
    "ordered": (SMALL, "ext4", "data=ordered"),
    "writeback": (SMALL, "ext4", "data=writeback"),
    "journal": (SMALL, "ext4", "data=journal"),
    "async": (SMALL, "ext4", "data=writeback,journal_async_commit"),
    "nobarrier": (SMALL, "ext4", "data=ordered,barrier=0,nodelalloc"),
    "checksum": (SMALL, "ext4", "data=ordered,journal_checksum"),
    "large": (LARGE, "ext4", "data=ordered"),
    "as_ext2": (SMALL, "ext2", "errors=remount-ro"),
    "as_ext3": (SMALL, "ext3", "data=ordered"),
}
NOT_EXT4 = {"as_ext2", "as_ext3"}  # those types have no extents


class Story:
    """One device, from the start image to the comparison."""

    def __init__(self, space, args, mount, rng):
        self.space, self.args, self.rng = space, args, rng
        self.size, self.mount_type, self.options = mount
        self.lower = space.fresh("lower")
        self.where = space.fresh("story")
        self.image = ["--type", args.type, "--size", self.size,
                      "--seed", self.rng.getrandbits(32)]
        self.raw, self.traces, self.files = None, [], 0

    def make_device(self):
        decode_tree.make(self.lower, self.rng)
        self.raw = self.new_path("raw")
        run(ORACLE, "make", self.lower, self.raw, *self.image)

    def tell(self):
        self.make_device()
        loads = self.args.load or decode_loads.ALL
        self.session(loads)
        if self.rng.random() < 0.5:
            self.repair()
        self.session(self.some(loads))
        self.cut_power()
        self.mount_type = "ext4"  # as ext2 the kernel would not recover it
        self.session(self.some(loads))
        ovltest.fsck(self.raw)

    def some(self, loads):
        return self.rng.sample(loads, (len(loads) + 1) // 2)

    def new_path(self, kind):
        self.files += 1
        return self.where / f"{kind}.{self.files}"

    def server(self):
        self.traces.append(self.new_path("trace"))
        return Server(self.space, f"file={self.raw}",
                      f"trace={self.traces[-1]}", plugin=RECORDER)

    def session(self, loads):
        with self.server() as server, \
                server.mounted(self.mount_type, self.options) as root:
            done = decode_loads.run(root, loads, self.rng.getrandbits(32))
        if done.has_extents is not None:
            check(done.has_extents == (self.args.type == "ext4"),
                  "fallocate did not do what this type of file system can")

    def repair(self, how="-fyD"):
        """Directories are written anew, and past the journal."""
        with self.server() as server, server.as_file() as device:
            mend(device, how)

    def cut_power(self):
        kept, self.raw = self.new_path("kept"), self.new_path("raw")
        say("  " + run(ORACLE, "cut", self.lower, *self.traces, *self.image,
                       "--raw", self.raw, "--kept", kept).strip())
        self.traces = [kept]

    def check(self):
        work = self.where / "oracle"
        work.mkdir()
        choice = ["--between", self.args.between, "--partitions",
                  self.args.partitions, *self.choice()]
        if self.args.commits is not None:
            choice += ["--commits", self.args.commits]
        say("  " + run(ORACLE, "check", self.lower, *self.traces,
                       *self.image, "--work", work, *choice).strip())

    def choice(self):
        """More of what is to be looked at."""
        return []


def mend(device, how):
    """Until it finds nothing: what it brings into lost+found it checks against
    where that was."""
    for _ in range(5):
        done = subprocess.run(["e2fsck", how, device], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check(done.returncode <= 1, f"e2fsck {how}: {done.stdout}")
        if done.returncode == 0:
            return
    check(False, f"e2fsck {how} does not come to an end: {done.stdout}")


def tell_mount(space, args, mount, seed):
    say(f"--type {args.type} --mount {mount} --seed {seed}")
    tell(Story(space, args, MOUNTS[mount], random.Random(f"{seed} {mount}")))


def tell(story):
    began = time.monotonic()
    story.tell()
    recorded = time.monotonic()
    story.check()
    say(f"  recorded in {recorded - began:.1f} s, compared in "
        f"{time.monotonic() - recorded:.1f} s")


def test(space, args):
    mounts = args.mount or [mount for mount in MOUNTS if args.type == "ext2"
                            or mount not in NOT_EXT4]
    for seed in args.seed:
        for mount in mounts:
            tell_mount(space, args, mount, seed)
    for _ in range(args.fresh):
        seed = secrets.randbits(32)
        for mount in args.mount or random.Random(seed).sample(mounts, 2):
            tell_mount(space, args, mount, seed)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", default="ext4", choices=("ext2", "ext4"))
    parser.add_argument("--mount", action="append", choices=MOUNTS)
    parser.add_argument("--load", action="append", choices=decode_loads.ALL)
    parser.add_argument("--seed", action="append", type=int, default=[])
    parser.add_argument("--fresh", type=int, default=0)
    parser.add_argument("--commits", type=int)
    parser.add_argument("--between", type=int, default=0)
    parser.add_argument("--partitions", type=int, default=1)
    args = parser.parse_args()
    if soak := os.environ.get("OVL_DECODE_SOAK"):
        args.commits, args.between = None, int(soak)
    return args


if __name__ == "__main__":
    ovltest.main(test, arguments())
