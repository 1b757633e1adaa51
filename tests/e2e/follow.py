#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Upper follows a guest that is at work.

    follow.py [--kills N] [CASE]...

N kills of nbdkit under load; the case `killed_under_load` alone with a large
one is a soak.
"""
import argparse
import contextlib
import os
import pathlib
import random
import shutil
import secrets
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, check, run, say, wait_until  # noqa: E402
from small_tree import change, make_lower  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402


class Case:
    """A small tree, an empty upper, and servers for it."""

    def __init__(self, space, args):
        self.space, self.args = space, args
        self.lower, self.upper, self.work = (
            space.dir(name) for name in ("lower", "upper", "work"))
        make_lower(self.lower)

    def server(self, *more):
        return Server(self.space, f"lowerdir={self.lower}",
                      f"upperdir={self.upper}", f"workdir={self.work}",
                      *(more or ["checkpoint=1"]), options=["-D", "ovl.check=1"])

    def overlay(self):
        return ovltest.overlay(self.space, [self.lower], self.upper)

    def overlay_now(self):
        with self.overlay() as mount:
            return dump_dir(mount)

    def wait_for(self, seen, seconds, context):
        """Upper shows the tree `seen`, if not at once."""
        end = time.monotonic() + seconds
        while True:
            try:
                return check_same(self.overlay_now(), seen, "kernel overlay",
                                  "guest", context)
            except Failure:
                if time.monotonic() > end:
                    raise
            time.sleep(0.5)


def sync(guest):
    run("sync", "-f", guest)
    return dump_dir(guest)


def check_quiet(server):
    check("checkpoint" not in server.log() and "upperdir" not in server.log(),
          f"nbdkit complained:\n{server.log()}")


def follows_a_journal(case):
    with case.server() as server, server.mounted("ext4") as guest:
        change(guest)
        case.wait_for(sync(guest), 60, "while mounted, synced")
        (guest / "unsynced").write_text("the journal commits by itself\n")
        os.chmod(guest / "d3", 0o700)
        case.wait_for(dump_dir(guest), 60, "while mounted, not synced")
    check_quiet(server)
    case.overlay_now()


def follows_a_guest_without_a_journal(case):
    with case.server("journal=no", "checkpoint=1") as server:
        with server.mounted("ext2") as guest:
            change(guest)
            case.wait_for(sync(guest), 60, "while mounted, synced")
        check_quiet(server)


def under_sync_it_is_there_at_once(case):
    with case.server("checkpoint=sync") as server:
        with server.mounted("ext4") as guest:
            for turn in range(3):
                (guest / f"turn{turn}").write_text("x" * turn)
                if turn == 1:
                    change(guest)
                check_same(sync(guest), case.overlay_now(), "guest",
                           "kernel overlay", f"turn {turn}")
            with open(guest / "file", "wb") as file:
                file.write(b"bytes")
                file.flush()
                os.fsync(file.fileno())
                with case.overlay() as mount:
                    check((mount / "file").read_bytes() == b"bytes",
                          "an fsync is not in upper")
        check_quiet(server)


def stopped_while_mounted(case):
    """Upper has what was committed; the rest waits for a clean end."""
    server = case.server().start()
    with contextlib.suppress(Failure):  # unmounting meets a dead device
        with server.mounted() as guest:
            change(guest)
            seen = sync(guest)
            server.stop()
    check("clean" in server.log(), f"no message:\n{server.log()}")
    check_same(case.overlay_now(), seen, "kernel overlay", "guest")
    with case.server() as server:
        with server.mounted() as guest:
            check_same(dump_dir(guest), seen, "after the restart", "before")
            (guest / "more").write_text("more\n")
            seen = dump_dir(guest)
        server.fsck()
    check_same(case.overlay_now(), seen, "kernel overlay", "guest")


class Load(threading.Thread):
    """Makes whole files: each has its number as content, and is there, or in
    what it replaced, from when it was renamed. Ends with the device."""

    def __init__(self, guest, first):
        super().__init__()
        self.guest, self.next, self.synced = guest, first, []

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                self.make(self.next)
                self.next += 1

    def make(self, number):
        place = self.guest / f"dir{number % 7}"
        place.mkdir(exist_ok=True)
        with open(place / "part", "wb") as file:
            file.write(b"%09d\n" % number * (number % 5000))
            file.flush()
            os.fsync(file.fileno())
        os.rename(place / "part", place / f"n{number % 50}")
        if number % 9 == 0:
            moved = self.guest / f"moved{number % 20}"
            shutil.rmtree(moved, ignore_errors=True)
            os.rename(place, moved)
        if number % 10 == 0:
            folder = os.open(self.guest, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
            self.synced.append(number)


def check_whole(tree, context):
    """All files but those that were being written are whole."""
    found = 0
    for folder in tree.iterdir():
        if not folder.name.startswith(("dir", "moved")):
            continue
        for file in folder.glob("n*"):
            content = file.read_bytes()
            number = int(content[:10] or b"0")
            check(content == b"%09d\n" % number * (number % 5000),
                  f"{context}: {file}: torn")
            found = max(found, number)
    return found


def killed_under_load(case):
    seed = secrets.randbelow(2**32)
    say(f"  {case.args.kills} kills, seed {seed}")
    rng = random.Random(seed)
    number, found = 1, 0
    for _ in range(case.args.kills):
        server = case.server().start()
        load = None
        with contextlib.suppress(Failure):
            with server.mounted() as guest:
                newest = check_whole(guest, "guest")
                check(newest >= found, f"guest has {newest}, upper {found}")
                load = Load(guest, number)
                load.start()
                wait_until(lambda: load.next > number, 60, "load")
                time.sleep(rng.uniform(0.2, 3))
                server.kill()
                load.join()
        check(load is not None, "the guest found something wrong")
        number = load.next + 1
        with case.server() as server:  # ends what was begun
            pass
        with case.overlay() as mount:
            found = check_whole(mount, "kernel overlay")
    with case.server() as server:
        with server.mounted() as guest:
            newest = check_whole(guest, "guest")
            check(newest >= max(load.synced, default=0), "a synced file is lost")
            seen = dump_dir(guest)
        server.fsck()
    check_same(case.overlay_now(), seen, "kernel overlay", "guest")


def upper_is_full(case):
    """Told once, tried again, and nothing is lost."""
    host = case.space.dir("host")
    run("mount", "-t", "tmpfs", "-o", "size=48M", "none", host)
    case.upper, case.work = host / "upper", host / "work"
    try:
        case.upper.mkdir()
        case.work.mkdir()
        with case.server() as server, server.mounted() as guest:
            (guest / "first").write_text("first\n")
            case.wait_for(sync(guest), 60, "before")
            with open(guest / "big", "wb") as file:
                file.write(os.urandom(8 << 20))
            free = os.statvfs(host)
            (host / "ballast").write_bytes(
                bytes((free.f_bavail - 2800) * free.f_bsize))
            seen = sync(guest)
            wait_until(lambda: "checkpoint" in server.log(), 60, "an error")
            time.sleep(5)
            check(server.log().count("No space left") <= 2, server.log())
            (host / "ballast").unlink()
            case.wait_for(seen, 60, "with room again")
        check_same(case.overlay_now(), seen, "kernel overlay", "guest")
    finally:
        ovltest.unmount(host)


CASES = [follows_a_journal, follows_a_guest_without_a_journal,
         under_sync_it_is_there_at_once, stopped_while_mounted, killed_under_load, upper_is_full]


def test(space, args):
    for case in CASES:
        if args.case and case.__name__ not in args.case:
            continue
        say(f"{case.__name__}:")
        with ovltest.Workspace(case.__name__) as inner:
            try:
                case(Case(inner, args))
            except BaseException:
                inner.failed = space.failed = True
                raise


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("case", nargs="*")
    ovltest.main(test, parser.parse_args())


if __name__ == "__main__":
    main()
