#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Random file operations on the mounted device and on a plain directory.

For each seed: random lower layers, an upper that is empty or was written by
the kernel's overlay, a plain directory that is a copy of what the kernel's
overlay shows. Each round serves the device, compares it with the plain
directory, does the same random operations in both (with remounts between),
compares, unmounts, runs e2fsck -fn, stops nbdkit, and then the kernel's
overlay of lowers and upper must be the plain directory, too. The next round
starts nbdkit anew over what the last one left; between some rounds the
kernel's overlay writes to upper.

With --live checkpoints follow each other closely, and upper must be the plain
directory while the guest is still mounted; some rounds end with a kill. At the ends nbdkit compares the whole tree
with upper, and must have nothing to say.

    random_ops.py [--seed N]... [--fresh COUNT] [--rounds R] [--ops K]
                  [--way on|off|userxattr]... [--type ext2|ext4] [--live]

A way is how upper is written: redirect_dir on or off, or userxattr. A seed
with the same --rounds, --ops and --way does the same again.
"""
import argparse
import pathlib
import random
import secrets
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, check, run, say  # noqa: E402
from random_layers import (  # noqa: E402
    KERNEL, NBDKIT, kernel_ops, make_lowers, reading)
from tree_ops import Ops  # noqa: E402
from treecmp import check_same, dump_dir, treedump  # noqa: E402


class Story:
    """One seed, from layers to the last comparison."""

    COMPLAINTS = ("checkpoint:", "write-back:", "is not what the guest")

    def __init__(self, space, seed, way, args):
        self.space, self.args, self.way = space, args, way
        self.rng = random.Random(seed)
        self.upper, self.work = space.dir("upper"), space.dir("work")
        self.lowers = make_lowers(space, self.rng.getrandbits(32), way)
        self.plain = space.path / "plain"
        self.fs_type = self.rng.choice(["ext4", "ext4", "ext3", "ext2"])
        if args.type == "ext4":
            self.fs_type = "ext4"
        self.done = {}

    def tell(self):
        if self.rng.random() < 0.5:
            self.kernel_writes()
        self.copy_plain()
        for number in range(self.args.rounds):
            is_settled = self.round(number)
            if (is_settled and number + 1 < self.args.rounds and
                    self.rng.random() < 0.4):
                self.kernel_writes()
                self.copy_plain()
        self.check_true_upper()
        self.check_reader()

    def kernel_writes(self):
        kernel_ops(self.space, self.rng.getrandbits(32), self.lowers,
                   self.upper, self.way, self.args.ops)

    def overlay(self):
        return ovltest.overlay(self.space, self.lowers, self.upper,
                               options=reading(self.way))

    def copy_plain(self):
        ovltest.run("rm", "-rf", self.plain)
        with self.overlay() as mount:
            ovltest.copy_tree(mount, self.plain)
            check_same(dump_dir(mount), dump_dir(self.plain),
                       "kernel overlay", "plain", "as copied")

    def server(self):
        layers = ":".join(map(ovltest.escape_layer, self.lowers))
        return Server(self.space, f"lowerdir={layers}",
                      f"upperdir={self.upper}", f"workdir={self.work}",
                      NBDKIT[self.way], f"type={self.args.type}",
                      "size=+1G", *(["checkpoint=1"] if self.args.live else []),
                      options=["-D", "ovl.check=1"])

    def round(self, number):
        """True when nbdkit has ended as it should."""
        with self.server() as server:
            try:
                self.check_guest(server, f"round {number}, before")
                for _ in range(self.rng.randrange(1, 3)):
                    self.operate(server)
                self.check_guest(server, f"round {number}, after")
                server.fsck()
                is_killed = self.args.live and self.rng.random() < 0.4
                if is_killed:
                    server.kill()
            except Failure as failure:
                raise Failure(f"{failure}\n{server.explain()}") from failure
        if is_killed and number + 1 < self.args.rounds:
            return False
        if is_killed:
            with self.server():
                pass
        if self.args.live:
            check(not any(word in server.log() for word in self.COMPLAINTS),
                  "nbdkit complained\n" + server.explain())
        self.check_overlay(f"round {number}, nbdkit stopped")
        return True

    def operate(self, server):
        with server.mounted(self.fs_type) as guest:
            ops = Ops(self.rng.getrandbits(32), guest, self.plain)
            ops.run(self.args.ops)
            check_same(dump_dir(guest), dump_dir(self.plain), "guest",
                       "plain", "while still mounted")
            if self.args.live:
                self.wait_for_upper(guest)
        for key, count in ops.done.items():
            self.done[key] = self.done.get(key, 0) + count

    def wait_for_upper(self, guest):
        """What is synced is in upper soon, though the guest goes on."""
        run("sync", "--file-system", guest)
        for seconds in range(20):
            time.sleep(1)
            try:
                return self.check_overlay("while still mounted")
            except Failure:
                if seconds == 19:
                    raise
        return None

    def check_guest(self, server, context):
        with server.mounted(options="ro") as guest:
            check_same(dump_dir(guest), dump_dir(self.plain), "guest",
                       "plain", context)

    def check_overlay(self, context):
        with self.overlay() as mount:
            check_same(dump_dir(mount), dump_dir(self.plain),
                       "kernel overlay", "plain", context)

    def check_true_upper(self):
        """A writable mount, of a copy because the kernel writes to it."""
        upper = ovltest.copy_tree(self.upper, self.space.path / "upper-copy")
        work = self.space.dir("work-copy")
        with ovltest.overlay(self.space, self.lowers, upper, work,
                             KERNEL[self.way]) as mount:
            check_same(dump_dir(mount), dump_dir(self.plain),
                       "writable kernel overlay", "plain")

    def check_reader(self):
        family = ["--userxattr"] if self.way == "userxattr" else []
        check_same(treedump("layers", *self.lowers, "--upper", self.upper,
                            *family),
                   dump_dir(self.plain), "our reader of layers", "plain")


def one_seed(space, seed, way, args):
    say(f"seed {seed} way {way} rounds {args.rounds} ops {args.ops} "
        f"type {args.type}")
    inner = ovltest.Workspace(f"seed{seed}")
    with inner:
        try:
            story = Story(inner, seed, way, args)
            story.tell()
        except BaseException:
            inner.failed = space.failed = True
            say(f"this again: random_ops.py --seed {seed} --way {way} "
                f"--rounds {args.rounds} --ops {args.ops} "
                f"--type {args.type}{' --live' if args.live else ''}")
            raise
    good = sum(n for (_, success), n in story.done.items() if success)
    say(f"  by {story.fs_type}: {good} operations done, "
        f"{sum(story.done.values()) - good} refused alike")


def test(space, args):
    seeds = list(args.seed)
    if args.fresh:
        seeds += [secrets.randbelow(2**32) for _ in range(args.fresh)]
        say(f"fresh seeds: {seeds[-args.fresh:]}")
    for seed in seeds:
        for way in args.way or KERNEL:
            one_seed(space, seed, way, args)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, action="append", default=[])
    parser.add_argument("--fresh", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--ops", type=int, default=150)
    parser.add_argument("--way", action="append", choices=list(KERNEL))
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--type", choices=["ext2", "ext4"], default="ext2")
    args = parser.parse_args()
    if not args.seed and not args.fresh:
        args.fresh = 1
    ovltest.main(test, args)


if __name__ == "__main__":
    main()
