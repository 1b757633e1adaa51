#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What is decoded of a device that is written in place: by a kernel that has no
journal, and by tune2fs, debugfs and e2fsck, whose superblock is clean all the
while. Such a state is taken only behind a FLUSH that no write followed.

Of each state that is looked at there, two things are expected: where e2fsck
finds nothing wrong, it is decoded; where it is decoded, its tree is the one
that is there when e2fsck has mended what it found. So at the end of each
session, and behind each tool that leaves no damage, it must be decoded.

    decode_in_place.py --type ext2|ext4 [--story NAME]... [--seed N]...
                       [--fresh COUNT] [--still N] [--flushes N]
                       [--between N] [--partitions N]

--still says at how many flushes e2fsck and the kernel are asked in each story,
--flushes how many flushes a client adds anywhere that does nothing else.
OVL_DECODE_SOAK=N asks at all flushes, and adds N. Of seeds, traces and
OVL_KEEP decode_load.py tells.
"""
import argparse
import os
import random
import secrets

import decode_load
import decode_tools
import ovltest
from decode_load import SMALL
from ovltest import run, say

# What finds all that it needs after a repair that may have moved anything.
SELF_MADE = ["renames", "sync_loop", "allocate", "swap", "open_without_name",
             "nodes", "sizes", "reuse_inodes", "links", "fill"]


class InPlace(decode_load.Story):
    def choice(self):
        return ["--in-place", "--still", self.args.still, "--flushes", self.args.flushes]

    def tell(self):
        self.make_device()
        self.session(decode_load.decode_loads.ALL)
        if self.rng.random() < 0.5:
            self.repair()
        self.session(self.some(decode_load.decode_loads.ALL))
        self.cut_and_mend()
        self.session(self.some(SELF_MADE))
        ovltest.fsck(self.raw)

    def cut_and_mend(self):
        self.cut_power()
        self.repair("-fy")

    def use_tools(self, *commands):
        with self.server() as server, server.as_file() as device:
            for command in commands:
                run(*command, device)


class WithoutJournal(InPlace):
    def __init__(self, *args):
        super().__init__(*args)
        self.image += ["--journal", "no"]


class Unclean(WithoutJournal):
    """Mounted when it was not clean, it does not become clean: no more than
    stillness and what is written tells a good state."""

    def cut_and_mend(self):
        super().cut_and_mend()
        self.use_tools(["debugfs", "-w", "-R", "dirty"])


class JournalTaken(InPlace):
    """A journal that is taken away between mounts, and another one made."""

    def tell(self):
        self.make_device()
        self.session(self.some(SELF_MADE))
        self.use_tools(["tune2fs", "-O", "^has_journal"])
        self.session(decode_load.decode_loads.ALL)
        self.cut_and_mend()
        self.use_tools(["tune2fs", "-j", "-J", "size=4"])
        self.session(self.some(SELF_MADE))
        self.repair()
        ovltest.fsck(self.raw)


class Tools(InPlace):
    """tune2fs, debugfs and e2fsck, before a mount and after it."""

    def choice(self):
        more = 3 * self.args.still  # what they leave is what this is about
        return ["--in-place", "--still", more, "--flushes", self.args.flushes]

    def tell(self):
        self.make_device()
        self.tools()
        self.session(self.some(SELF_MADE))
        self.tools()
        ovltest.fsck(self.raw)

    def tools(self):
        with self.server() as server, server.as_file() as device:
            decode_tools.Tools(device, self.space.fresh("tools"), self.rng,
                               self.args.type == "ext4").run()


# Name: what happens, type to mount it as, options.
STORIES = {
    "ext2": (WithoutJournal, "ext2", "errors=remount-ro"),
    "ext4": (WithoutJournal, "ext4", "nodelalloc"),
    "dirsync": (WithoutJournal, "ext4", "dirsync"),
    "unclean": (Unclean, "ext4", ""),
    "taken": (JournalTaken, "ext4", ""),
    "tools": (Tools, "ext4", ""),
}
NOT_EXT4 = {"ext2"}  # that type has no extents


def tell(space, args, name, seed):
    say(f"--type {args.type} --story {name} --seed {seed}")
    kind, mount_type, options = STORIES[name]
    decode_load.tell(kind(space, args, (SMALL, mount_type, options),
                          random.Random(f"{seed} {name}")))


def test(space, args):
    names = args.story or [name for name in STORIES if args.type == "ext2"
                           or name not in NOT_EXT4]
    for seed in args.seed + [secrets.randbits(32) for _ in range(args.fresh)]:
        for name in names:
            tell(space, args, name, seed)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", default="ext4", choices=("ext2", "ext4"))
    parser.add_argument("--story", action="append", choices=STORIES)
    parser.add_argument("--seed", action="append", type=int, default=[])
    parser.add_argument("--fresh", type=int, default=0)
    parser.add_argument("--commits", type=int, default=2)
    parser.add_argument("--between", type=int, default=0)
    parser.add_argument("--still", type=int, default=10)
    parser.add_argument("--flushes", type=int, default=0)
    parser.add_argument("--partitions", type=int, default=1)
    args = parser.parse_args()
    if soak := os.environ.get("OVL_DECODE_SOAK"):
        args.still, args.flushes = 10**6, int(soak)
    return args


if __name__ == "__main__":
    ovltest.main(test, arguments())
