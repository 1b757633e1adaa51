#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Where the host's file system can share space between files, a copy-up takes
only what the guest changed."""
import contextlib
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Server, check, run, say, wait_until  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402

MIB = 1 << 20
BIG = 48 * MIB


@contextlib.contextmanager
def host_disk(space, kind):
    image, where = space.path / f"{kind}.image", space.dir(f"host-{kind}")
    run("truncate", "-s", "600M", image)
    run(f"mkfs.{kind}", "-q", image)
    run("mount", "-o", "loop", image, where)
    try:
        yield where
    finally:
        ovltest.unmount(where)


def used(where):
    run("sync", "-f", where)
    fs = os.statvfs(where)
    return (fs.f_blocks - fs.f_bfree) * fs.f_frsize


def change(guest):
    """Files change in their status, at the end, in the middle, in size."""
    (guest / "status").chmod(0o600)
    with open(guest / "grows", "ab") as file:
        file.write(b"more\n")
    with open(guest / "middle", "r+b") as file:
        file.seek(BIG // 2 + 100)
        file.write(b"m" * 10000)
    os.truncate(guest / "shrinks", BIG // 2 + 77)


def copies_share(space, kind):
    with host_disk(space, kind) as host:
        lower, upper, work = host / "l", host / "u", host / "w"
        for path in (lower, upper, work):
            path.mkdir()
        names = ("status", "grows", "middle", "shrinks")
        for name in names:
            (lower / name).write_bytes(os.urandom(BIG + 1234))
        below = dump_dir(lower)
        before = used(host)
        with Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                    f"workdir={work}", "size=+256M", "checkpoint=1",
                    options=["-D", "ovl.check=1"]) as server:
            with server.mounted("ext4") as guest:
                change(guest)
                run("sync", "-f", guest)
                wait_until(lambda: all((upper / name).exists()
                                       for name in names), 60, "a checkpoint")
                time.sleep(1)  # the handover
                taken = used(host) - before
                seen = dump_dir(guest)
            server.fsck()
        check(server.log() == "", server.log())
        say(f"  {kind}: {taken // MIB} MiB for {4 * BIG // MIB} MiB")
        check(taken < BIG, f"{kind}: the copies took {taken // MIB} MiB")
        check_same(dump_dir(lower), below, "lower", "lower before")
        with ovltest.overlay(space, [lower], upper) as merged:
            check_same(dump_dir(merged), seen, "kernel overlay", "guest")


def test(space):
    for kind in ("xfs", "btrfs"):
        copies_share(space, kind)


if __name__ == "__main__":
    ovltest.main(test)
