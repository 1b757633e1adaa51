#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sizes and free space are exact: df and du in the guest, the size that a
refusal names, and holes."""
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from made_tree import make  # noqa: E402
from ovltest import Server, check, run, say  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402

BLOCK = 4096
SECTOR = 512
RESERVED_INODES = 10
FREE = 48 << 20


def objects(root):
    """One stat for each inode of a mounted tree; lost+found counts, too."""
    found = {}
    for where, dirs, files in os.walk(root):
        for name in [".", *dirs, *files]:
            st = os.lstat(os.path.join(where, name))
            found[st.st_ino] = st
    return list(found.values())


def inode_count(device):
    text = run("dumpe2fs", "-h", device)
    return int(re.search(r"^Inode count: +(\d+)", text, re.M)[1])


def journal_map_blocks(device):
    """Those of the journal's own map, which the kernel calls in use, while the
    journal is none of the file system's blocks."""
    text = run("debugfs", "-R", "stat <8>", device)
    sectors, size = (int(re.search(rf"{field}: +(\d+)", text)[1])
                     for field in ("Blockcount", "Size"))
    return (sectors * SECTOR - size) // BLOCK


def check_df(server, guest, free):
    """What statfs says follows from the objects that are there."""
    df, there = os.statvfs(guest), objects(guest)
    with server.as_file(readonly=True) as device:
        inodes, map_blocks = inode_count(device), journal_map_blocks(device)
    check(df.f_bsize == df.f_frsize == BLOCK, "block size")
    check(df.f_files == inodes, f"{df.f_files} inodes of {inodes}")
    used = len(there) - 1 + RESERVED_INODES  # the root is a reserved one
    check(df.f_files - df.f_ffree == used,
          f"{df.f_files - df.f_ffree} inodes in use, {used} counted")
    blocks = sum(st.st_blocks for st in there) * SECTOR // BLOCK + map_blocks
    check(df.f_blocks - df.f_bfree == blocks,
          f"{df.f_blocks - df.f_bfree} blocks in use, {blocks} counted")
    check(df.f_bfree * BLOCK >= free, f"{df.f_bfree} blocks free for {free}")
    return df


def fill(guest, free):
    """All that df calls free can be written, less the map of the file."""
    blocks = free - free // 1024 - 3
    with open(guest / "filler", "wb", buffering=0) as file:
        for start in range(0, blocks, 1024):
            data = b"f" * BLOCK * min(1024, blocks - start)
            check(file.write(data) == len(data), "a short write")
            os.fsync(file.fileno())
    left = os.statvfs(guest).f_bavail
    check(left <= 3 + free // 1024, f"{left} blocks left")


def check_free_space(space, layer, fs_type, journal):
    with Server(space, f"lowerdir={layer}", f"upperdir={space.fresh('u')}",
                f"workdir={space.fresh('w')}", f"type={fs_type}",
                f"journal={journal}", f"size=+{FREE}") as server:
        with server.mounted("ext4") as guest:
            df = check_df(server, guest, FREE)
            check_du(layer, guest, fs_type)
            fill(guest, df.f_bavail)
        server.fsck()
        with server.mounted("ext4") as guest:
            (guest / "filler").unlink()
        server.fsck()


def check_just_enough(space, layer, fs_type):
    """A device that is only read has no block to spare but a group's end."""
    with Server(space, f"lowerdir={layer}", f"type={fs_type}") as server, \
            server.mounted("ext4", "ro") as guest:
        check_df(server, guest, 0)


def data_runs(path):
    """Where SEEK_DATA finds data, in blocks."""
    runs, at = [], 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            runs.append(range(start // BLOCK, -(-at // BLOCK)))
    return runs


def map_blocks(runs, fs_type):
    """How many blocks it takes to say where those of the data are."""
    if fs_type == "ext4":
        return int(len(runs) > 4)  # more than that have a leaf
    indirect = set()
    for block in (block for run in runs for block in run):
        if 12 <= block < 1036:
            indirect.add("single")
        elif block >= 1036:
            indirect |= {"double", (block - 1036) // 1024}
    return len(indirect)


def check_du(layer, guest, fs_type):
    """Holes stay holes, and a file takes its data and its map, no more."""
    shown = ["--holes", "--no-root-mtime"]  # the root is upper's
    check_same(dump_dir(layer, *shown), dump_dir(guest, *shown), "host",
               "guest")
    for path in layer.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        runs = data_runs(path)
        right = sum(map(len, runs)) + map_blocks(runs, fs_type)
        blocks = (guest / path.relative_to(layer)).stat().st_blocks \
            * SECTOR // BLOCK
        check(blocks == right, f"{path.name}: {blocks} blocks, not {right}")


def needed(line):
    found = re.search(r"size: (\d+) bytes are too few, the tree needs (\d+)",
                      line)
    check(found, f"no size in: {line}")
    return int(found[2])


def check_smallest(space, layer, *parameters):
    """The size that the refusal names works, and a block less does not."""
    lower = f"lowerdir={layer}"
    line = ovltest.refusal(lower, *parameters, "size=64K")
    least = needed(line)
    say(f"  {line}")
    again = needed(ovltest.refusal(lower, *parameters, f"size={least - BLOCK}"))
    check(again == least, f"first {least}, then {again} bytes")
    with Server(space, lower, *parameters, f"size={least}") as server:
        size = int(run("nbdinfo", "--size", server.uri))
        check(size == least, f"{size} bytes instead of {least}")
        server.fsck()
        with server.mounted("ext4", "ro") as guest:
            check_same(dump_dir(layer), dump_dir(guest), "host", "guest")


def test(space):
    layer = space.dir("lower")
    make(layer)
    for number, gap in enumerate((1, 12, 1030, 3000)):
        with open(layer / f"gaps-{number}", "wb") as file:
            for place in range(5):
                file.seek(place * gap * 2 * BLOCK + 700)
                file.write(b"x" * 5000)
    os.sync()
    # A block of attributes is counted with each of its users.
    os.removexattr(layer / "lib/d2", "user.mark")
    for fs_type in ("ext2", "ext4"):
        say(fs_type)
        check_just_enough(space, layer, fs_type)
        for journal in ("yes", "no"):
            check_smallest(space, layer, f"type={fs_type}",
                           f"journal={journal}")
        check_free_space(space, layer, fs_type, "yes")
    check_free_space(space, layer, "ext2", "no")


if __name__ == "__main__":
    ovltest.main(test)
