#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What upper looks like after each kind of change, object by object.

The cases are in cases_*.py, what one says is in written_case.py. They are done
in several ways, with redirect_dir on and off each: see written_stack.py. Beyond
what a case says, the kernel's overlay must show what the guest last saw. Other
files have the numbers from 75 on, and those that need a device of their own.

    conformance.py [--type ext4] [--way NAME]... [CASE...]

A case is chosen by its number. With --way file-systems upper is on other file
systems than the one of TMPDIR, with rootless nbdkit is user 1000.
"""
import argparse
import contextlib
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import cases_create  # noqa: E402
import cases_delete  # noqa: E402
import cases_links  # noqa: E402
import cases_rename  # noqa: E402
import ovltest  # noqa: E402
from ovltest import check, run, say  # noqa: E402
from written_stack import (  # noqa: E402
    Filled, Kills, Live, LiveRuns, Runs, Stack, Stepwise)

CASES = [*cases_create.CASES, *cases_delete.CASES, *cases_links.CASES,
         *cases_rename.CASES]


def run_stack(space, kind, *arguments):
    """Those that failed, as text."""
    with ovltest.Workspace(kind.__name__) as inner:
        try:
            stack = kind(inner, *arguments)
            failed = [f"{case} ({stack})" for case in stack.run()]
        except BaseException:
            inner.failed = space.failed = True
            raise
        inner.failed = bool(failed)
    return failed


def all_of(kind):
    def way(space, cases, fs_type):
        for redirect in ("on", "off"):
            yield from run_stack(space, kind, cases, redirect, fs_type)
    return way


@contextlib.contextmanager
def file_system(space, kind):
    """Workspaces are made on a file system of this kind."""
    where = space.fresh(kind)
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", "size=1G", "tmpfs", where)
    else:
        image = space.path / f"{kind}.image"
        run("truncate", "-s", "1G", image)
        run(f"mkfs.{kind}", "-q", image)
        run("mount", "-o", "loop", image, where)
    old, tempfile.tempdir = tempfile.tempdir, str(where)
    try:
        yield
    finally:
        tempfile.tempdir = old
        ovltest.unmount(where)


def file_systems(space, cases, fs_type):
    """97."""
    for kind in ("xfs", "btrfs", "tmpfs"):
        possible = [case for case in cases
                    if kind != "tmpfs" or "chattr" not in case.lower]
        with file_system(space, kind):
            say(f"upper on {kind}")
            for way in (Stack, Stepwise):
                yield from run_stack(space, way, possible, "on", fs_type)


class Rootless:
    """98: nbdkit is an ordinary user, upper has attributes of users."""

    family = "user.overlay."
    user = 1000
    kernel_options = "userxattr"
    dump_options = ("--no-owner",)
    # They need privilege, or other attributes than users have.
    PRIVILEGED = ("trusted.", "user.overlay.", "security.", "mknod",
                  "whiteout", "chattr", "chown")

    @classmethod
    def takes(cls, case):
        return super().takes(case) and not any(
            word in case.lower + case.start + case.change
            for word in cls.PRIVILEGED)


class RootlessStack(Rootless, Stack):
    name = "rootless, whole tree"
    parameters = ("userxattr=yes", "owner=squash")


class RootlessStepwise(Rootless, Stepwise):
    name = "rootless, a checkpoint a step"
    parameters = ("userxattr=yes", "owner=squash", "checkpoint=sync")


def rootless(space, cases, fs_type):
    for kind in (RootlessStack, RootlessStepwise):
        yield from run_stack(space, kind, cases, "off", fs_type)


class InPlace(Stepwise):
    """No journal: the guest's file system is read where it writes."""

    name = "in place, a checkpoint a step"
    parameters = ("journal=no", "checkpoint=sync")


WAYS = {"whole": all_of(Stack), "filled": all_of(Filled), "live": all_of(Live), "steps": all_of(Stepwise),
        "in-place": all_of(InPlace), "runs": all_of(Runs),
        "live-runs": all_of(LiveRuns), "kills": all_of(Kills),
        "file-systems": file_systems, "rootless": rootless}


def test(space, args):
    cases = [case for case in CASES
             if not args.case or case.number in args.case]
    failed = []
    for name in args.way or WAYS:
        failed += WAYS[name](space, cases, args.type)
    check(not failed, "\n  ".join([f"{len(failed)} cases:", *failed]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", choices=["ext2", "ext4"], default="ext2")
    parser.add_argument("--way", choices=list(WAYS), action="append")
    parser.add_argument("case", nargs="*")
    ovltest.main(test, parser.parse_args())


if __name__ == "__main__":
    main()
