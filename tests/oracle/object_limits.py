#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Objects at the limits of what a layer can hold and an image can show: the
guest sees what the kernel's overlay shows, and what is beyond a limit is
refused with its path, or shown as the manual says.

    object_limits.py [--type ext4]
"""
import argparse
import contextlib
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from made_layer import Layer  # noqa: E402
from ovltest import Server, check, run, say  # noqa: E402
from sparse_files import (BLOCK, GIB, check_same_file,  # noqa: E402
                          pieces)
from treecmp import check_same, dump_dir  # noqa: E402

MAX_LINKS = 65000
MAX_XATTR = 4096 - 32 - 4 - 20  # a block less header, end, entry of `user.x`
FIRST_TIME, LAST_TIME = -2**31, 2**34 - 2**31 - 1
TIB = 1 << 40


@contextlib.contextmanager
def tmpfs(where):
    """A file system that holds more than ext4 does."""
    run("mount", "-t", "tmpfs", "tmpfs", where)
    try:
        yield Layer(where)
    finally:
        ovltest.unmount(where)


def make_large_files(root):
    """With data under every level of an ext2 block map."""
    places = [0, 11 * BLOCK, 12 * BLOCK, 1035 * BLOCK, 1036 * BLOCK,
              (1036 + 5 * 1024) * BLOCK]
    pieces(root / "5G", 5 * GIB + 1, [*places, 4 * GIB - 100, 5 * GIB - 9000])
    pieces(root / "1T", TIB, [*places, 5 * GIB, TIB - 9000])
    pieces(root / "1T-hole", TIB - 5, [])
    (root / "empty").touch()


def make_deep(layer, name):
    """Far deeper than a path can be long, made from one level to the next."""
    here = os.open(layer.root, os.O_RDONLY)
    for level in range(40):
        step = f"{level}".ljust(250, "d")
        with contextlib.suppress(FileExistsError):
            os.mkdir(step, dir_fd=here)
        below = os.open(step, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with open(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=here),
              "w") as file:
        file.write(name * 3000)
    os.link(name, f"{name}-too", src_dir_fd=here, dst_dir_fd=here)
    os.symlink(name, f"{name}-link", dir_fd=here)
    os.setxattr(f"/proc/self/fd/{here}", f"user.{name}", b"v")
    os.close(here)


def make_names(root):
    where = os.fsencode(root)
    for byte in range(1, 256):
        if byte != ord("/"):
            name = bytes([byte])
            with open(where + b"/a" + name + b"z", "wb") as file:
                file.write(name)
            os.symlink(name * 200, where + b"/" + name.rjust(255, b"n"))


def make_tree(top, below):
    make_names(top.at("names/x").parent)
    make_deep(top, "top")
    make_deep(below, "below")
    for length in (1, 59, 60, 61, 4094, 4095):
        top.symlink(f"symlinks/{length}", "t" * length)
    top.file("a/first", "x" * 10000)
    for number in range(300):
        top.link("a/first", f"b{number}/link")
    for layer, size in ((top, MAX_XATTR), (below, MAX_XATTR - 1)):
        for kind in ("file", "dir"):
            getattr(layer, kind)(f"xattrs/{kind}-{size}")
            layer.xattr(f"xattrs/{kind}-{size}", "user.x", b"v" * size)


def check_tree(space, fs_type):
    top, below = Layer(space.dir("top")), Layer(space.dir("below"))
    make_tree(top, below)
    large = space.dir("below/large")
    make_large_files(large)
    with ovltest.overlay(space, [top.root, below.root]) as kernel:
        expected = dump_dir(kernel, "--exclude", "large", "--holes")
    with Server(space, f"lowerdir={top.root}:{below.root}",
                f"type={fs_type}") as server:
        server.fsck()
        with server.mounted(fs_type, "ro") as guest:
            check_same(expected, dump_dir(guest, "--exclude", "large",
                                          "--holes"),
                       "kernel overlay", "guest")
            for file in large.iterdir():
                check_same_file(file, guest / "large" / file.name)


def check_times(space, fs_type):
    """What the format has no room for becomes the nearest that it has, and
    is no change of the guest's."""
    shown = {"early": FIRST_TIME, "late": LAST_TIME}
    lower, upper, work = (space.dir(name) for name in ("lower", "u", "w"))
    with tmpfs(lower) as layer:
        layer.file("d/other", "x")
        for name, seconds in (("early", -2**40), ("late", 2**40)):
            layer.file(f"d/{name}", name)
            layer.times(f"d/{name}", seconds, 5)
        with Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                    f"workdir={work}", f"type={fs_type}", "size=+64M"
                    ) as server, server.mounted(fs_type) as guest:
            for name, seconds in shown.items():
                seen = (guest / "d" / name).stat().st_mtime_ns // 10**9
                check(seen == seconds, f"{name}: {seen} and not {seconds}")
            (guest / "d/other").write_text("changed")
            (guest / "d").chmod(0o711)
        names = [path.name for path in upper.rglob("*")]
        check(sorted(names) == ["d", "other"], f"upper holds {names}")


def check_xattr_limit(space, fs_type):
    with tmpfs(space.dir("lower")) as layer:
        layer.file("d/more", "x")
        layer.xattr("d/more", "user.x", b"v" * (MAX_XATTR + 1))
        line = ovltest.refusal(f"lowerdir={layer.root}", f"type={fs_type}")
        say(f"  {line}")
        check("/d/more: " in line and "extended attributes" in line, line)


def link_up_to(layer, count):
    have = len(os.listdir(layer.root / "links"))
    for number in range(have, count):
        os.link(layer.root / "file", layer.root / f"links/{number}")


def check_link_limit(space, fs_type):
    """65000 names of one file are shown, one more is refused."""
    parameters = [f"lowerdir={space.dir('lower')}", f"type={fs_type}"]
    with tmpfs(space.dir("lower")) as layer:
        layer.file("file", "x")
        layer.dir("links")
        link_up_to(layer, MAX_LINKS - 1)
        with Server(space, *parameters) as server, \
                server.mounted(fs_type, "ro") as guest:
            links = (guest / "links/7").stat().st_nlink
            check(links == MAX_LINKS, f"{links} links")
        link_up_to(layer, MAX_LINKS)
        line = ovltest.refusal(*parameters)
        say(f"  {line}")
        check(f"{MAX_LINKS + 1} links" in line and "/file: " in line, line)


def check_subdirectory_limit(space, fs_type):
    """The .. of each is a link; only ext4 goes on without a count."""
    parameters = [f"lowerdir={space.dir('lower')}", f"type={fs_type}"]
    with tmpfs(space.dir("lower")) as layer:
        for number in range(MAX_LINKS - 2):
            layer.dir(f"many/{number}")
        with Server(space, *parameters) as server, \
                server.mounted(fs_type, "ro") as guest:
            links = (guest / "many").stat().st_nlink
            check(links == MAX_LINKS, f"{links} links")
        layer.dir("many/one-more")
        if fs_type == "ext2":
            line = ovltest.refusal(*parameters)
            say(f"  {line}")
            check(f"{MAX_LINKS + 1} links" in line and "/many: " in line, line)
            return
        with Server(space, *parameters) as server, \
                server.mounted(fs_type, "ro") as guest:
            check(len(os.listdir(guest / "many")) == MAX_LINKS - 1, "names")
            check((guest / "many").stat().st_nlink == 1, "no count is 1")


def test(space, fs_type):
    for part in (check_tree, check_times, check_xattr_limit, check_link_limit,
                 check_subdirectory_limit):
        say(part.__name__)
        with ovltest.Workspace(part.__name__) as inner:
            part(inner, fs_type)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", default="ext2")
    ovltest.main(test, parser.parse_args().type)
