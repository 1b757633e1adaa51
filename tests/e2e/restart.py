#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Ends of nbdkit that are not the ordinary one, and what the next start finds.

A file system that is not clean is not applied: upper is as it was, what the
guest wrote is kept, a message says so, and the next start goes on with it.
"""
import contextlib
import inspect
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
import small_tree  # noqa: E402
from ovltest import Failure, Server, check, run, say  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402


class Case:
    """A small tree, its upper, and servers for it, which make no checkpoints:
    with them it is follow.py."""

    def __init__(self, space):
        self.space = space
        self.lower, self.upper, self.work = (
            space.dir(name) for name in ("lower", "upper", "work"))
        small_tree.make_lower(self.lower)
        (self.upper / "old").write_text("in upper before")

    def server(self, *more, options=()):
        return Server(self.space, f"lowerdir={self.lower}",
                      f"upperdir={self.upper}", f"workdir={self.work}",
                      *more, options=["-D", "ovl.whole=1", *options])

    def upper_now(self):
        return dump_dir(self.upper)

    def overlay_now(self):
        with ovltest.overlay(self.space, [self.lower], self.upper) as mount:
            return dump_dir(mount)


def change(guest):
    small_tree.change(guest)
    return dump_dir(guest)


def end_while_mounted(server, end):
    """The guest changes things and syncs; then nbdkit goes from under it."""
    with contextlib.suppress(Failure):  # unmounting meets a dead device
        with server.mounted() as guest:
            change(guest)
            run("sync", "-f", guest)
            seen = dump_dir(guest)
            end()
    return seen


def go_on(case, seen):
    """The next start: the guest finds what it synced, and it is applied."""
    with case.server() as server:
        with server.mounted() as guest:
            check_same(dump_dir(guest), seen, "after the restart", "before")
        server.fsck()
    check_same(case.overlay_now(), seen, "kernel overlay", "guest")


def check_untouched(case, before):
    """Upper is as before but for the mark of a device that has more."""
    name = "trusted.overlay.ovl.unsettled"
    check(os.getxattr(case.upper, name) == b"y", "upper is not marked")
    os.removexattr(case.upper, name)
    check_same(before, case.upper_now(), "upper before", "upper after")
    os.setxattr(case.upper, name, b"y")


def stopped_while_mounted(case):
    before = case.upper_now()
    server = case.server().start()
    seen = end_while_mounted(server, server.stop)
    check("clean" in server.log(), f"no message:\n{server.log()}")
    say("  " + server.log().strip().replace("\n", "\n  "))
    check_untouched(case, before)
    check(any((case.work / "ovl").iterdir()), "nothing kept in workdir/ovl")
    go_on(case, seen)


def killed_while_mounted(case):
    before = case.upper_now()
    server = case.server().start()
    seen = end_while_mounted(server, server.kill)
    check_untouched(case, before)
    go_on(case, seen)


def killed_after_unmount(case):
    before = case.upper_now()
    server = case.server().start()
    with server.mounted() as guest:
        seen = change(guest)
    server.kill()
    check_untouched(case, before)
    with case.server() as server:
        pass
    check_same(case.overlay_now(), seen, "kernel overlay", "guest")


def killed_twice(case):
    server = case.server().start()
    end_while_mounted(server, server.kill)
    server = case.server().start()
    with server.mounted() as guest:
        (guest / "second").write_text("written after the first kill")
        seen = dump_dir(guest)
    server.kill()
    go_on(case, seen)


def kept_data_refuses_other_parameters(case):
    """Kept blocks belong to one layout: another is refused, not mixed."""
    server = case.server().start()
    seen = end_while_mounted(server, server.kill)
    for more in (["size=+3G"], ["journal=no"]):
        other = case.server(*more)
        try:
            other.start()
        except Failure:
            say("  " + other.log().strip())
            check(str(case.work) in other.log(), "workdir is not named")
            continue
        other.kill()
        raise Failure(f"{more} was served over what another layout kept")
    go_on(case, seen)


def changed_lower_is_refused_while_data_is_kept(case):
    times = case.lower.stat()
    server = case.server().start()
    seen = end_while_mounted(server, server.kill)
    (case.lower / "surprise").write_text("not there before")
    other = case.server()
    with contextlib.suppress(Failure):
        other.start()
        other.kill()
        raise AssertionError("served over a lower that changed")
    say("  " + other.log().strip())
    check(f"lowerdir: {case.lower}" in other.log(), "the lower is not named")
    (case.lower / "surprise").unlink()
    os.utime(case.lower, ns=(times.st_atime_ns, times.st_mtime_ns))
    go_on(case, seen)


def upper_changed_between_runs(case):
    """Settled: laid out anew, and told. Not settled: refused, with the path."""
    with case.server() as server:
        with server.mounted() as guest:
            change(guest)
    (case.upper / "from the host").write_text("new")
    server = case.server().start()
    with server.mounted() as guest:
        check((guest / "from the host").read_text() == "new", "not shown")
        (guest / "more").write_text("from the guest")
        seen = dump_dir(guest)
    check("from the host: added by somebody else" in server.log(),
          f"not told:\n{server.log()}")
    server.kill()
    times = case.upper.stat()
    (case.upper / "late").write_text("too late")
    other = case.server()
    with contextlib.suppress(Failure):
        other.start()
        other.kill()
        raise AssertionError("served over an upper that changed")
    check("upperdir: late: added by somebody else" in other.log(),
          f"the path is not named:\n{other.log()}")
    (case.upper / "late").unlink()
    os.utime(case.upper, ns=(times.st_atime_ns, times.st_mtime_ns))
    with case.server() as server:
        pass
    check_same(case.overlay_now(), seen, "kernel overlay", "guest")


def inode_numbers_stay(case):
    """Across write-backs and restarts, until the user asks for a new layout."""
    def numbers(guest):
        return {str(path.relative_to(guest)): path.lstat().st_ino
                for path in sorted(guest.rglob("*"))}
    with case.server() as server:
        with server.mounted() as guest:
            change(guest)
            (guest / "new").write_text("made by the guest")
            seen = numbers(guest)
    for _ in range(2):
        with case.server() as server:
            with server.mounted() as guest:
                check(numbers(guest) == seen, "inode numbers changed")
                (guest / "new").write_text("written again")
            server.fsck()
    with case.server("relayout=yes") as server:
        with server.mounted() as guest:
            check(numbers(guest).keys() == seen.keys(), "other names")
            check(numbers(guest) != seen, "not laid out anew")
        server.fsck()


def upper_is_refused_elsewhere(case):
    """What is not settled is no upper of another workdir, and no lower."""
    server = case.server().start()
    seen = end_while_mounted(server, server.kill)
    other_work, other_upper = case.space.dir("w2"), case.space.dir("u2")
    for parameters in (
            [f"lowerdir={case.lower}", f"upperdir={case.upper}",
             f"workdir={other_work}"],
            [f"lowerdir={case.upper}:{case.lower}"]):
        other = Server(case.space, *parameters)
        with contextlib.suppress(Failure):
            other.start()
            other.kill()
            raise AssertionError(f"served with {parameters}")
        check(f"{case.upper}: upperdir of a device" in other.log(),
              f"not told:\n{other.log()}")
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", other_upper, "-o",
         f"lowerdir={case.lower},upperdir={case.upper},workdir={case.work}"],
        capture_output=True, text=True)
    check(done.returncode != 0, "the kernel mounted what is not settled")
    go_on(case, seen)


def nothing_written(case):
    before = case.upper_now()
    with case.server() as server:
        with server.mounted(options="ro") as guest:
            dump_dir(guest)
    check_same(before, case.upper_now(), "upper before", "upper after")
    check(server.log() == "", f"it said:\n{server.log()}")


def mounted_without_changes(case):
    """A mount writes to the superblock; upper stays as it was all the same."""
    before = case.upper_now()
    for _ in range(2):
        with case.server() as server:
            with server.mounted(options="noatime") as guest:
                dump_dir(guest)
    check_same(before, case.upper_now(), "upper before", "upper after")


def atime_is_not_a_change(case):
    before = case.upper_now()
    with case.server() as server:
        with server.mounted(options="strictatime") as guest:
            dump_dir(guest)
    check_same(before, case.upper_now(), "upper before", "upper after")


def mounted_as_ext2_and_ext3(case):
    for fs_type in ("ext3", "ext2"):
        with case.server("journal=" + ("no" if fs_type == "ext2" else "yes"),
                         "relayout=yes") as server:
            with server.mounted(fs_type) as guest:
                (guest / f"by-{fs_type}").write_text(fs_type)
                (guest / "d4" / f"f{4 if fs_type == 'ext2' else 9}").unlink()
            with server.mounted(fs_type, options="ro") as guest:
                seen = dump_dir(guest)
            server.fsck()
        check_same(case.overlay_now(), seen, "kernel overlay", "guest")


def a_null_device_comes_back(case):
    """A 0:0 character device, of a container in the guest, would read as a
    whiteout in upper: there it is a file with a mark."""
    with case.server() as server:
        with server.mounted() as guest:
            run("mknod", "-m", "0600", guest / "d0" / "f0.old", "c", 0, 0)
            (guest / "d0" / "f0").unlink()
            run("mknod", guest / "d0" / "f0", "c", 0, 0)
            os.link(guest / "d0" / "f0", guest / "linked")
            seen = dump_dir(guest)
    with ovltest.overlay(case.space, [case.lower], case.upper) as mount:
        for name in ("d0/f0", "d0/f0.old", "linked"):
            check((mount / name).is_file() and not (mount / name).stat().st_size,
                  f"{name} is no empty file for the kernel")
    for more in ([], ["relayout=yes"]):
        with case.server(*more) as server:
            with server.mounted() as guest:
                check_same(dump_dir(guest), seen, "after the restart", "before")
            server.fsck()


def full_device(case):
    with case.server("size=+8M") as server:
        with server.mounted() as guest:
            done = subprocess.run(
                ["dd", "if=/dev/urandom", f"of={guest / 'big'}", "bs=64k"],
                text=True, stderr=subprocess.PIPE)
            check("No space left" in done.stderr, done.stderr)
            (guest / "d0" / "f0").unlink()
            run("cp", guest / "d1" / "f1", guest / "copy")
            seen = dump_dir(guest)
        server.fsck()
    check_same(case.overlay_now(), seen, "kernel overlay", "guest")


def read_only_without_upper(case):
    with Server(case.space, f"lowerdir={case.upper}:{case.lower}") as server:
        with server.mounted(options="ro") as guest:
            check_same(dump_dir(guest), case.overlay_now(), "guest",
                       "kernel overlay")
        told = run("nbdinfo", "--json", f"nbd+unix:///?socket={server.socket}")
        check('"is_read_only": true' in told, f"not read-only:\n{told}")
        server.fsck()


def served_read_only(case):
    before = case.upper_now()
    with case.server(options=["-r"]) as server:
        with server.mounted(options="ro") as guest:
            check_same(dump_dir(guest), case.overlay_now(), "guest",
                       "kernel overlay")
    check_same(before, case.upper_now(), "upper before", "upper after")


def same_bytes_twice(case):
    """Same layers, same parameters, fresh workdir: the same device."""
    digests = []
    for _ in range(2):
        with case.server() as server, server.as_file(readonly=True) as device:
            size = device.stat().st_size
            digests.append((size, run("sh", "-c", f"sha256sum < {device}")
                            if size < 2 << 30 else
                            run("sh", "-c", f"head -c 300M {device}"
                                "| sha256sum")))
        run("rm", "-rf", case.work / "ovl")
    check(digests[0] == digests[1], f"two devices: {digests}")


CASES = [item for item in list(globals().values())
         if inspect.isfunction(item) and item.__module__ == __name__
         and list(inspect.signature(item).parameters) == ["case"]]


def test(space, chosen):
    failed = []
    for story in CASES:
        if chosen and story.__name__ not in chosen:
            continue
        say(story.__name__)
        with ovltest.Workspace(story.__name__) as inner:
            try:
                story(Case(inner))
            except (Failure, AssertionError, OSError,
                    subprocess.SubprocessError) as failure:
                inner.failed = True
                failed.append(story.__name__)
                say(f"  FAILED: {failure}")
    check(not failed, f"{len(failed)} stories: {' '.join(failed)}")


if __name__ == "__main__":
    ovltest.main(test, sys.argv[1:])
