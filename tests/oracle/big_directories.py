#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Directories with an index, as the kernel reads and changes them.

Looks up every name of large directories in the mounted device, makes and
removes names, and expects that e2fsck finds nothing and that the kernel's
overlay shows what the guest saw.
"""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Server, check, say  # noqa: E402

MORE = 1000


def long_name(number):
    return str(number).encode().ljust(255, b"x")


def odd_name(number):
    return str(number).encode() + bytes(
        0x80 + (number * 7 + i * 13) % 128 for i in range(number % 200))


DIRECTORIES = {
    "few": (2000, lambda number: f"file-number-{number}".encode()),
    "long": (30_000, long_name),
    "many": (100_000, lambda number: f"{number}".encode()),
    "odd": (5000, odd_name),
}


def fill(where, numbers, name_of):
    descriptor = os.open(where, os.O_RDONLY)
    for number in numbers:
        os.close(os.open(name_of(number), os.O_CREAT | os.O_WRONLY, 0o644,
                         dir_fd=descriptor))
    os.close(descriptor)


def expect_names(where, numbers, name_of, context):
    names = {name_of(number) for number in numbers}
    listed = os.listdir(os.fsencode(where))
    check(len(listed) == len(names) and set(listed) == names,
          f"{context}: {where.name}: {len(listed)} names listed, "
          f"{len(names)} expected, {len(names - set(listed))} missing")
    descriptor = os.open(where, os.O_RDONLY)
    for name in names:
        os.lstat(name, dir_fd=descriptor)
    for name in (b"not there", name_of(10**6)):
        check(name in names or not os.path.lexists(
            os.path.join(os.fsencode(where), name)), f"{context}: found {name}")
    os.close(descriptor)


def change(where, count, name_of):
    """Every second name goes, MORE come; returns the numbers that are left."""
    fill(where, range(count, count + MORE), name_of)
    descriptor = os.open(where, os.O_RDONLY)
    for number in range(0, count, 2):
        os.unlink(name_of(number), dir_fd=descriptor)
    os.close(descriptor)
    return [*range(1, count, 2), *range(count, count + MORE)]


def each(root, left, context):
    for name, (_, name_of) in DIRECTORIES.items():
        expect_names(root / name, left[name], name_of, context)


def test(space, stories):
    lower = space.dir("lower")
    for name, (count, name_of) in DIRECTORIES.items():
        fill(space.dir(f"lower/{name}"), range(count), name_of)
    for image_type, fs_type in stories:
        say(f"type={image_type} mounted as {fs_type}")
        story(space, lower, image_type, fs_type)


def story(space, lower, image_type, fs_type):
    upper, work = space.fresh("upper"), space.fresh("work")
    left = {name: range(count) for name, (count, _) in DIRECTORIES.items()}
    with Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                f"workdir={work}", f"type={image_type}", "size=+1G") as server:
        server.fsck()
        with server.mounted(fs_type) as guest:
            each(guest, left, "fresh")
            for name, (count, name_of) in DIRECTORIES.items():
                left[name] = change(guest / name, count, name_of)
        server.fsck()
        with server.mounted(fs_type) as guest:
            each(guest, left, "mounted again")
    with ovltest.overlay(space, [lower], upper) as mount:
        each(mount, left, "kernel overlay")
    with Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                f"workdir={work}", f"type={image_type}", "size=+1G") as server:
        server.fsck()
        with server.mounted(fs_type, "ro") as guest:
            each(guest, left, "served again")


if __name__ == "__main__":
    ovltest.main(test, [("ext4", "ext4"), ("ext2", "ext2")])
