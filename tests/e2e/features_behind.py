# SPDX-License-Identifier: BSD-3-Clause
"""Somebody else changes upper: an error names the path, and what he made there
is not written over."""
import errno
import os

import ovltest
from feature_case import Case, check_untouched, fill, states_of, sync
from ovltest import Failure, check, run, wait_until
from treecmp import check_same, dump_dir


def changed_behind(space, by_host, by_guest, path, filled=False):
    """Somebody else changes upper while it is served, then the guest does: an
    error names the path, upper stays as the host left it, the device keeps
    what the guest has, and goes on once that is undone. An upper that was
    `filled` gets no checkpoints here."""
    case = Case(space)
    fill(case.lower, "d/f d/g d/h")
    if filled:
        fill(case.upper, "d/f d/made")
    options = ["-D", "ovl.whole=1"] if filled else []
    with case.server(options=options) as server:
        with server.mounted() as guest:
            fill(guest, "d/g" if filled else "d/f d/made")
            sync(guest) if filled else case.settle(guest)
            wait_until((case.work / "ovl/layout").exists, 60, "the layout")
            by_host(case.upper)
            left = states_of(case.upper / "d")
            by_guest(guest)
            seen = sync(guest)
            wait_until(lambda: filled or "checkpoint: " in server.log() or
                       states_of(case.upper / "d") != left, 60, "a checkpoint")
    check(f"upperdir: {path}: " in server.log(),
          f"no path in:\n{server.log()}")
    check_untouched(left, case.upper / "d")
    if filled:
        check_still_noticed(case, path)
    else:
        undo(case, seen, path)


def check_still_noticed(case, path):
    line = ovltest.refusal(*case.parameters())
    check(path in line, f"no {path} in: {line}")


def undo(case, seen, path):
    """The device has all: a copy of its file is as good as what was there."""
    saved, upper = case.space.path / "saved", case.upper / path
    with case.server() as server:
        with server.mounted(options="ro") as guest:
            check_same(dump_dir(guest), seen, "after the restart", "before")
            run("cp", "-p", guest / path, saved)
            times = (guest / path).parent.stat()
    run("cp", "-p", saved, upper)
    os.utime(upper.parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    with case.server() as server:
        pass
    # The copy is of what the guest had last, which no checkpoint has seen.
    check(all("cannot be read until" in line for line
              in server.log().splitlines()), server.log())
    case.check_end(seen)


def upper_file_replaced_behind_our_back_is_noticed(space):
    """A new file under the name of one that was copied up."""
    def replace(upper):
        (upper / "d/new").write_text("of the host\n")
        (upper / "d/new").rename(upper / "d/f")
    changed_behind(space, replace, lambda guest: fill(guest, "d/f"), "d/f")


def upper_file_removed_behind_our_back_is_noticed(space):
    """It is not made anew."""
    changed_behind(space, lambda upper: (upper / "d/made").unlink(),
                   lambda guest: fill(guest, "d/made"), "d/made")


def upper_file_added_behind_our_back_is_noticed(space):
    """What the guest has for that name does not replace it."""
    def add(upper):
        (upper / "d/h").write_text("of the host\n")
    changed_behind(space, add, lambda guest: fill(guest, "d/h"), "d/h")


def upper_file_written_behind_our_back_is_noticed(space):
    """In place, so that it has the inode number that we know."""
    def write(upper):
        with open(upper / "d/f", "r+b") as file:
            file.write(b"of the host")

    def change(guest):
        with open(guest / "d/f", "ab") as file:
            file.write(b"x" * 10000)
    changed_behind(space, write, change, "d/f")


def upper_changed_behind_our_back_without_checkpoints_is_noticed(space):
    """Where there can be none, upper is written to at the end only."""
    def add(upper):
        (upper / "d/late").write_text("of the host\n")

    def replace(upper):
        (upper / "d/new").write_text("of the host\n")
        (upper / "d/new").rename(upper / "d/f")
    for by_host, path in ((add, "d/late"), (replace, "d/f")):
        with ovltest.Workspace(by_host.__name__) as inner:
            changed_behind(inner, by_host, lambda guest: fill(guest, "d/h"),
                           path, filled=True)


def upper_changed_between_runs_is_noticed(space):
    """Refused while the device has more; else told of, and shown."""
    case = Case(space)
    fill(case.lower, "d/f d/g")
    with case.server() as server:
        with server.mounted() as guest:
            fill(guest, "d/f new")
            seen = case.settle(guest)
        server.kill()  # not settled
    expect_noticed(case, "late")
    expect_noticed(case, "d/late")  # where a checkpoint was, too
    case.check_end(seen)
    (case.upper / "new").write_text("by the host\n")
    with case.server() as server:
        with server.mounted() as guest:
            check((guest / "new").read_text() == "by the host\n", "not shown")
    check("new: changed by somebody else" in server.log(), server.log())


def expect_noticed(case, path):
    """Upper has a file more: it is told of, stays, and when it is gone all is
    as if it had not been."""
    added = case.upper / path
    times = added.parent.stat()
    added.write_text("of the host\n")
    left = states_of(case.upper)
    server = case.server()
    try:
        with server, server.mounted() as guest:
            (guest / "d/f").chmod(0o644)
    except Failure:
        pass
    check(f"{path}: " in server.log(), f"no {path} in: {server.log()}")
    check_untouched(left, case.upper)
    added.unlink()
    os.utime(added.parent, ns=(times.st_atime_ns, times.st_mtime_ns))


def upper_file_replaced_after_a_kill_is_noticed(space):
    """In a directory that a checkpoint made: upper's record does not tell of
    what is in it."""
    replaced_after_a_kill(Case(space), lambda guest: fill(guest, "d/f"))


def replaced_after_a_kill(case, change):
    fill(case.lower, "d/f d/g")
    with case.server() as server:
        with server.mounted() as guest:
            change(guest)
            case.settle(guest)
        server.kill()
    (case.upper / "d/new").write_text("of the host\n")
    (case.upper / "d/new").rename(case.upper / "d/f")
    left = states_of(case.upper / "d/f")
    with case.server() as server, server.mounted() as guest:
        try:
            check("of the host" not in (guest / "d/f").read_text(),
                  "bytes of the host's file are taken for the guest's")
        except OSError as error:
            check(error.errno == errno.EIO, f"{error}")
        fill(guest, "d/g")
    check("upperdir: d/f: " in server.log(), f"no path in: {server.log()}")
    check_untouched(left, case.upper / "d/f")
