#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Number 93 of the checklist: nbdkit is killed while it writes to upper.

strace kills it at each of the renames with which a checkpoint publishes, and at
some of what it does before. The guest had unmounted. Each operation of the
guest's must then be seen as not done or as done in upper, or, where an object
moves, under both names. The next start ends what was begun.

With redirect_dir=off the moved directory, 59 of the checklist, is 60.
"""
import collections
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, check, run, say  # noqa: E402
from written_case import UpperText, shell  # noqa: E402

# What L1 has, what upper has, what the guest does; each case in a directory.
LOWER = "file 31/f lower; file 36/d/a; file 36/d/b; file 59/D/x; file 59/D/s/y"
START = "file 31/f upper"
CHANGE = "rm 31/f; rm -r 36/d; mkdir 36/d; mv 59/D 59/E"
UPPER = {"31": "w f", "36": "d d opaque", "59": "d E redirect=/D; w D"}
COPIED = {**UPPER, "59": "d E opaque; d E/s; f E/s/y; f E/x; w D"}
# Kills at each of the first, at some of the others.
RENAMES = ("renameat", "renameat2")
OTHERS = ("fsetxattr", "setxattr", "lsetxattr", "mkdirat", "mknodat", "linkat",
          "unlinkat", "utimensat", "pwrite64", "fdatasync", "fsync", "syncfs")
SOME = 2


class Strace:
    """Notes calls of a server that runs, or kills it at one of them."""

    def __init__(self, server, options):
        self.trace = server.where / "trace"
        self.process = ovltest.start_process(
            ["strace", "-f", "-qq", "-o", self.trace, *options, "-p",
             server.pid], stderr=subprocess.DEVNULL)
        tasks = pathlib.Path(f"/proc/{server.pid}/task")
        ovltest.wait_until(lambda: not any(
            "TracerPid:\t0\n" in (task / "status").read_text()
            for task in tasks.iterdir()), 60, "strace to attach")

    def most_calls(self, name):
        """How many calls that thread made that made most: strace counts the
        calls of each."""
        calls = re.compile(rf"(\d+) +{name}\(")
        made = collections.Counter(
            found[1] for found in map(calls.match, self.trace.read_text(
                ).splitlines()) if found)
        return max(made.values(), default=0)


class Story:
    """One kill: layers, the guest's changes, and what is there afterwards."""

    def __init__(self, space, redirect, begins):
        self.space = space
        self.lower, self.upper, self.work = (
            space.dir(name) for name in ("lower", "upper", "work"))
        self.wanted = UPPER if redirect == "on" else COPIED
        self.parameters = [
            f"lowerdir={self.lower}", f"upperdir={self.upper}",
            f"workdir={self.work}", f"redirect_dir={redirect}", "size=+64M",
            "checkpoint=86400"]
        shell(self.lower, LOWER)
        if begins == "by hand":
            shell(self.upper, START)
        else:
            self.in_guest(START)
        self.old = self.shapes()

    def in_guest(self, commands, strace=()):
        """What traced its end, and its exit status."""
        server, tracer = Server(self.space, *self.parameters).start(), None
        with server.as_file() as device:
            mounted = self.space.dir("mounted")
            run("mount", "-t", "ext4", "-o", "loop", device, mounted)
            try:
                shell(mounted, commands)
            finally:
                ovltest.unmount(mounted)
            if strace:
                tracer = Strace(server, strace)
        status = server.stop()  # sends a signal, if it was not killed before
        if tracer:
            tracer.process.wait(60)
        return tracer, status

    def shapes(self):
        """What upper shows in each case, without attributes: those of
        directories follow at the end. Of each name there, what is under it."""
        with ovltest.overlay(self.space, [self.lower], self.upper) as mount:
            return {case.name: {name.name: contents(name)
                                for name in case.iterdir()}
                    for case in mount.iterdir()}

    def check_between(self, new):
        """Each name is old or new; a tree that moved is under one at least.
        The cases that are new."""
        found = self.shapes()
        for case, now in found.items():
            for name in now.keys() | self.old[case].keys() | new[case].keys():
                check(now.get(name) in (self.old[case].get(name),
                                        new[case].get(name)),
                      f"case {case}: {name}: {now.get(name)}")
        check(found["59"], "what moves is nowhere")
        return [case for case in found if found[case] == new[case]]

    def check_end(self):
        """The next start has brought it about."""
        with Server(self.space, *self.parameters):
            pass
        for case, wanted in self.wanted.items():
            found = UpperText(self.upper / case, "trusted.overlay.").lines()
            check(found == sorted(wanted.split("; ")),
                  f"case {case}: {found}, not {wanted}")
        check(not list(self.work.glob("ovl/staging/*")),
              "staging is not empty")
        with ovltest.overlay(self.space, [self.lower], self.upper,
                             self.work) as mount:
            (mount / "writable").write_text("")


def contents(top):
    if not top.is_dir():
        return top.read_text()
    return {str(path.relative_to(top)): path.is_dir() or path.read_text()
            for path in top.rglob("*")}


def spread(count):
    """SOME numbers from the first to the last of `count`."""
    return sorted({1 + (count - 1) * step // (SOME - 1)
                   for step in range(SOME)}) if count else []


def measure(space, *how):
    """What is there without a kill, and the calls to kill at."""
    story = Story(space, *how)
    tracer, status = story.in_guest(CHANGE, ("-e", "trace=" + ",".join(
        RENAMES + OTHERS)))
    check(status == 0, f"exit status {status}")
    new = story.shapes()
    story.check_end()
    points = [(name, number + 1) for name in RENAMES
              for number in range(tracer.most_calls(name))]
    return new, points + [(name, number) for name in OTHERS
                          for number in spread(tracer.most_calls(name))]


def killed_at(space, name, number, new, *how):
    story = Story(space, *how)
    _, status = story.in_guest(CHANGE, (
        "-e", f"trace={name}",
        "-e", f"inject={name}:signal=KILL:when={number}"))
    # Which thread makes how many calls is not the same in each run, and one may
    # not come so far.
    check(status in (-signal.SIGKILL, 0), f"exit status {status}")
    done = story.check_between(new)
    story.check_end()
    return done, status != 0


def sweep(space, *how):
    with ovltest.Workspace("measure") as inner:
        new, points = measure(inner, *how)
    told, kills = set(), 0
    for name, number in points:
        with ovltest.Workspace("kill") as inner:
            try:
                done, was_killed = killed_at(inner, name, number, new, *how)
            except Failure as failure:
                inner.failed = space.failed = True
                raise Failure(f"{how}, killed at {name} {number}: {failure}"
                              ) from failure
        told.add(" ".join(sorted(done)) or "none")
        kills += was_killed
    say(f"redirect_dir={how[0]}, upper begun {how[1]}: {kills} kills; "
        f"done were: {'; '.join(sorted(told))}")
    check(2 * kills > len(points), f"{kills} kills at {len(points)} calls")
    check(len(told) > 2, "few kills were between two operations")


def test(space):
    for redirect in ("on", "off"):
        for begins in ("by hand", "in the guest"):
            sweep(space, redirect, begins)


if __name__ == "__main__":
    ovltest.main(test)
