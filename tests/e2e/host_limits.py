#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The host at its limits: its disk full, its dirty pages all in use."""
import errno
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Server, check, run, say, wait_until  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402

MIB = 1 << 20


def small_disk(space, mib):
    """A file system of its own for upper and work."""
    image = space.dir("disk") / "host.img"
    with open(image, "wb") as file:
        file.truncate(mib * MIB)
    run("mkfs.ext4", "-q", "-F", image)
    where = space.dir("host")
    run("mount", "-o", "loop", image, where)
    return where


def fill(path):
    """Writes until there is no room; what was synced before, a piece each."""
    synced = []
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                piece = os.urandom(MIB)
                file.write(piece)
                os.fsync(file.fileno())
                synced.append(piece)
        except OSError as error:
            check(error.errno in (errno.ENOSPC, errno.EIO), str(error))
    return synced


def repair(server):
    """What an administrator does after write errors."""
    with server.as_file() as device:
        done = subprocess.run(["e2fsck", "-fy", device], capture_output=True,
                              text=True)
        check(done.returncode in (0, 1), done.stdout)


def host_disk_full(space):
    """The guest has an error, loses nothing that was synced, and goes on once
    there is room again."""
    lower = space.dir("lower")
    (lower / "file").write_text("a")
    host = small_disk(space, 192)
    upper, work = host / "u", host / "w"
    upper.mkdir()
    work.mkdir()
    ballast = host / "somebody else's"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 60 * MIB)
    parameters = [f"lowerdir={lower}", f"upperdir={upper}", f"workdir={work}",
                  "size=+512M"]
    try:
        server = Server(space, *parameters).start()
        kept = os.urandom(MIB)
        with server.mounted() as guest:
            (guest / "kept").write_bytes(kept)
            os.sync()
            synced = fill(guest / "big")
            say(f"  {len(synced)} MiB were synced before it was full")
        say("  " + server.log().strip().replace("\n", "\n  "))
        server.kill()
        ballast.unlink()
        with Server(space, *parameters) as server:
            repair(server)
            with server.mounted() as guest:
                with open(guest / "big", "rb") as file:
                    check(all(file.read(MIB) == piece for piece in synced),
                          "bytes that were synced are gone")
                check((guest / "kept").read_bytes() == kept, "a file is gone")
                (guest / "after").write_text("there is room")
                (guest / "big").unlink()
                seen = dump_dir(guest)
            server.fsck()
        check("write-back" not in server.log(), server.log())
        with ovltest.overlay(space, [lower], upper) as merged:
            check_same(dump_dir(merged), seen, "kernel overlay", "guest")
    finally:
        run("umount", "-l", host)


def leave_free(host, mib):
    """Somebody else's file takes the rest."""
    with open(host / "somebody else's", "wb") as file:
        free = os.statvfs(host)
        size = free.f_bfree * free.f_frsize - mib * MIB
        os.posix_fallocate(file.fileno(), 0, size)


def deletions_make_room(space):
    """What the guest made does not fit into upper beside what it deleted
    there: both arrive while it goes on."""
    lower = space.dir("lower")
    (lower / "file").write_text("a")
    host = small_disk(space, 384)
    upper, work = host / "u", host / "w"
    upper.mkdir()
    work.mkdir()
    parameters = [f"lowerdir={lower}", f"upperdir={upper}", f"workdir={work}",
                  "size=+512M", "checkpoint=1"]
    content = os.urandom(64 * MIB)
    try:
        with Server(space, *parameters) as server:
            with server.mounted() as guest:
                (guest / "old").write_bytes(content)
                run("sync", "-f", guest)
                wait_until(lambda: used_mib(work) < 32, 60, "the handover")
                check((upper / "old").stat().st_size == 64 * MIB, "no file")
                leave_free(host, 80)
                with open(guest / "new", "wb") as file:
                    file.write(content[::-1])
                (guest / "old").unlink()
                (guest / "file").unlink()
                run("sync", "-f", guest)
                wait_until(lambda: not (upper / "old").exists(), 60,
                           "the deletion")
                wait_until(lambda: (upper / "new").exists(), 60,
                           "the new file")
                seen = dump_dir(guest)
            server.fsck()
        say("  " + server.log().strip().replace("\n", "\n  "))
        check("what was deleted has left it" in server.log(),
              "there was room for all: the test proves nothing")
        check((upper / "new").read_bytes() == content[::-1], "other bytes")
        with ovltest.overlay(space, [lower], upper) as merged:
            check_same(dump_dir(merged), seen, "kernel overlay", "guest")
    finally:
        run("umount", "-l", host)


def used_mib(directory):
    total = 0
    for path in directory.rglob("*"):
        total += path.lstat().st_blocks * 512
    return total // MIB


def sysctl(name, value=None):
    path = pathlib.Path("/proc/sys") / name.replace(".", "/")
    old = path.read_text().strip()
    if value is not None:
        path.write_text(str(value))
    return old


def dirty_pages_all_in_use(space):
    """The guest's pages wait for nbdkit, nbdkit must not wait for them."""
    lower, upper, work = (space.dir(n) for n in ("lower", "upper", "work"))
    (lower / "file").write_text("a")
    names = ("vm.dirty_bytes", "vm.dirty_background_bytes")
    ratios = ("vm.dirty_ratio", "vm.dirty_background_ratio")
    before = {name: sysctl(name) for name in names + ratios}
    with Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                f"workdir={work}", "size=+1G") as server:
        try:
            sysctl("vm.dirty_background_bytes", 16 * MIB)
            sysctl("vm.dirty_bytes", 48 * MIB)
            with server.mounted() as guest:
                subprocess.run(
                    ["dd", "if=/dev/zero", f"of={guest / 'big'}", "bs=1M",
                     "count=256", "conv=fsync"], check=True, timeout=100,
                    stderr=subprocess.DEVNULL)
        finally:
            for name in names:
                if before[name] != "0":
                    sysctl(name, before[name])
            for name in ratios:
                if before[name] != "0":
                    sysctl(name, before[name])
        server.fsck()


def test(space):
    for story in (host_disk_full, deletions_make_room,
                  dirty_pages_all_in_use):
        say(story.__name__)
        with ovltest.Workspace(story.__name__) as inner:
            story(inner)


if __name__ == "__main__":
    ovltest.main(test)
