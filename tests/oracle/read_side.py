#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of layers made by hand: the guest sees what the kernel's overlay
shows, and serving without writing changes nothing in upper.

Each case is a function that fills layers; `l` has the lowers, topmost first,
and `u`, the upper, is there when the case asks for it. Cases that the kernel
fails on must be refused, with the path in the message.

    read_side.py [--type ext4] [CASE...]
"""
import argparse
import inspect
import os
import pathlib
import stat
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, check, say  # noqa: E402
from treecmp import check_same, dump_dir, treedump  # noqa: E402

OPAQUE = "trusted.overlay.opaque"
REDIRECT = "trusted.overlay.redirect"
WHITEOUT = "trusted.overlay.whiteout"
METACOPY = "trusted.overlay.metacopy"


class Layer:
    """Makes objects in one layer; directories above are made as needed."""

    def __init__(self, root):
        self.root = root

    def at(self, path):
        where = self.root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        return where

    def file(self, path, data=b"", mode=0o644):
        self.at(path).write_bytes(data.encode()
                                  if isinstance(data, str) else data)
        os.chmod(self.at(path), mode)

    def dir(self, path, mode=0o755, opaque=None, redirect=None):
        self.at(path).mkdir(exist_ok=True)
        os.chmod(self.at(path), mode)
        if opaque is not None:
            self.xattr(path, OPAQUE, opaque)
        if redirect is not None:
            self.xattr(path, REDIRECT, redirect)

    def link(self, old, new):
        os.link(self.at(old), self.at(new), follow_symlinks=False)

    def symlink(self, path, target):
        os.symlink(target, self.at(path))

    def node(self, path, mode, major=0, minor=0):
        os.mknod(self.at(path), mode, os.makedev(major, minor))

    def whiteout(self, path):
        self.node(path, stat.S_IFCHR)

    def xattr(self, path, name, value=b""):
        os.setxattr(self.at(path), name, value, follow_symlinks=False)

    def times(self, path, seconds, nanoseconds=0):
        when = seconds * 10**9 + nanoseconds
        os.utime(self.at(path), ns=(when, when), follow_symlinks=False)

    def owner(self, path, uid, gid):
        os.chown(self.at(path), uid, gid, follow_symlinks=False)


# The cases. Parameters: l = lowers (two are made, three where a case asks for
# l3), u = upper.

def plain_lower(l):
    l[0].file("a", "top")
    l[1].file("a", "hidden")
    l[1].file("d/b", "below")
    l[1].file("empty")


def empty_layers(l):
    pass


def empty_upper(l, u):
    l[0].file("d/a", "x")


def whiteouts(l):
    l[0].whiteout("gone")
    l[0].whiteout("gone-dir")
    l[0].whiteout("of-nothing")
    l[0].whiteout("d/gone")
    l[1].file("gone", "x")
    l[1].file("gone-dir/x", "x")
    l[1].file("d/gone", "x")
    l[1].file("d/stays", "x")


def whiteout_in_upper(l, u):
    whiteouts(l)
    u.whiteout("d/stays")
    u.file("gone", "again")
    u.dir("gone-dir")


def whiteout_with_mode_and_xattrs(l):
    l[0].node("w", stat.S_IFCHR | 0o777)
    l[0].xattr("w", "trusted.t", b"x")
    l[0].owner("w", 5, 6)
    l[1].file("w", "x")


def whiteout_in_directory_without_lower(l):
    l[0].whiteout("only-top/w")
    l[0].file("only-top/f", "x")
    l[0].dir("opaque", opaque=b"y")
    l[0].whiteout("opaque/w")
    l[1].file("opaque/w", "x")


def block_device_0_0_is_a_device(l):
    l[0].node("b", stat.S_IFBLK | 0o600)
    l[1].file("b", "x")


def xattr_whiteouts(l, l3):
    l[0].dir("d", opaque=b"x")
    l[0].file("d/gone")
    l[0].xattr("d/gone", WHITEOUT)
    l[0].file("d/stays")
    l[1].file("d/gone", "x")
    l[1].file("d/below", "x")
    l[0].file("unmarked")
    l[0].xattr("unmarked", WHITEOUT, b"any")
    l[1].file("unmarked", "x")
    l[0].file("not-empty", "content")
    l[0].xattr("not-empty", WHITEOUT)


def opaque_values(l):
    for name, value in {"y": b"y", "n": b"n", "x": b"x", "yy": b"yy",
                        "0": b"0", "none": b""}.items():
        l[0].dir(f"o-{name}", opaque=value)
        l[0].file(f"o-{name}/top", "x")
        l[1].file(f"o-{name}/below", "x")


def opaque_over_two(l, l3):
    l[0].file("d/top", "x")
    l[1].dir("d", opaque=b"y")
    l[1].file("d/middle", "x")
    l[2].file("d/lowest", "x")


def opaque_root_is_ignored(l, u):
    u.xattr(".", OPAQUE, b"y")
    l[0].file("seen", "x")


def merged_directories(l, l3):
    for number, layer in enumerate(l):
        layer.dir("d", mode=[0o700, 0o755, 0o1777][number])
        layer.file(f"d/only-{number}", str(number))
        layer.file("d/all", str(number))
        layer.file(f"d/sub/only-{number}", str(number))
        layer.owner("d", number, number + 1)
        layer.xattr("d", f"user.from-{number}", b"v")
        layer.times("d", 1000 + number, number)


def root_attributes_are_the_top_layers(l, u):
    for number, layer in enumerate([u, *l]):
        os.chmod(layer.root, [0o711, 0o755, 0o700][number])
        layer.xattr(".", "user.root", str(number).encode())
        layer.owner(".", number, number)
        layer.times(".", 77 + number, 5)


def sandwich(l, l3):
    l[0].file("d/top", "x")
    l[1].file("d", "a file between")
    l[2].file("d/lowest", "x")
    l[0].file("f", "a file above")
    l[1].file("f/middle", "x")
    l[2].file("f", "x")
    l[0].file("w/top", "x")
    l[1].whiteout("w")
    l[2].file("w/lowest", "x")
    l[0].symlink("s", "d")
    l[1].file("s/below", "x")


def hard_links(l):
    l[0].file("one", "x" * 5000)
    l[0].link("one", "two")
    l[0].link("one", "d/three")
    l[1].file("a", "below")
    l[1].link("a", "b")
    l[1].link("a", "hidden")
    l[0].file("hidden", "not a link")
    l[1].symlink("s", "x")
    l[1].link("s", "s2")
    l[1].node("fifo", stat.S_IFIFO | 0o600)
    l[1].link("fifo", "fifo2")


def hard_link_with_one_name_left(l):
    l[1].file("a", "x")
    l[1].link("a", "b")
    l[0].whiteout("a")


def special_files(l):
    l[0].node("fifo", stat.S_IFIFO | 0o600)
    l[0].node("socket", stat.S_IFSOCK | 0o600)
    l[0].node("null", stat.S_IFCHR | 0o666, 1, 3)
    l[0].node("big", stat.S_IFBLK | 0o660, 300, 70000)
    l[0].node("largest", stat.S_IFCHR | 0o660, 4095, 1048575)
    l[0].node("old", stat.S_IFBLK | 0o660, 255, 255)
    l[0].node("c01", stat.S_IFCHR | 0o600, 0, 1)


def symlinks(l):
    for length in (1, 59, 60, 61, 255, 4000):
        l[0].symlink(f"s{length}", "t" * length)
    l[0].symlink("absolute", "/etc/passwd")
    l[0].symlink("strange", "a\nb \udcff")
    l[0].owner("absolute", 12, 13)
    l[0].xattr("absolute", "trusted.on-link", b"v")
    l[0].xattr("s4000", "trusted.on-link", b"v" * 100)


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry) for entry in entries)


NO_ID = 0xffffffff
FULL_ACL = acl((1, 7, NO_ID), (2, 5, 1000), (2, 4, 2**31), (4, 5, NO_ID),
               (8, 6, 100), (8, 6, 65534), (0x10, 7, NO_ID), (0x20, 0, NO_ID))
SMALL_ACL = acl((1, 7, NO_ID), (4, 5, NO_ID), (0x20, 5, NO_ID))


def acls(l):
    l[0].file("f", "x")
    l[0].xattr("f", "system.posix_acl_access", FULL_ACL)
    l[0].dir("d")
    l[0].xattr("d", "system.posix_acl_access", FULL_ACL)
    l[0].xattr("d", "system.posix_acl_default", FULL_ACL)
    l[0].dir("small")
    l[0].xattr("small", "system.posix_acl_default", SMALL_ACL)


def xattrs(l, u):
    for where, layer in (("u", u), ("l", l[0])):
        layer.file(f"{where}-file", "x")
        layer.dir(f"{where}-dir")
        for path in (f"{where}-file", f"{where}-dir"):
            layer.xattr(path, "user.empty", b"")
            layer.xattr(path, "user.nul", b"\0\xff\0")
            layer.xattr(path, "user.long", b"v" * 3000)
            layer.xattr(path, "user.overlay.opaque", b"y")
            layer.xattr(path, "trusted.overlay.overlay.x", b"escaped")
            layer.xattr(path, "trusted.overlay.overlay.overlay.x", b"twice")
            layer.xattr(path, "trusted.overlay.origin", b"")
            layer.xattr(path, "trusted.overlay.junk", b"private")
            layer.xattr(path, "trusted.overlayx", b"not private")
            layer.xattr(path, "security.other", b"s")
    l[0].xattr("l-file", "security.capability",
               struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))


def many_equal_and_unequal_xattrs(l):
    for number in range(200):
        l[0].file(f"f{number}", "x")
        l[0].xattr(f"f{number}", "user.shared", b"same" * 100)
        if number % 10 == 0:
            l[0].xattr(f"f{number}", "user.own", str(number).encode() * 20)


def sparse_files(l):
    layer = l[0]
    layer.file("hole")
    os.truncate(layer.at("hole"), 10 << 20)
    layer.file("huge")
    os.truncate(layer.at("huge"), 6 << 30)
    for path, places in {"start": [0], "end": [(10 << 20) - 4096],
                         "indirect": [12 * 4096, 1036 * 4096, 2000 * 4096],
                         "odd": [5000, 123457, 9999999]}.items():
        layer.file(path)
        with open(layer.at(path), "r+b") as file:
            for place in places:
                file.seek(place)
                file.write(path.encode() * 50)
            file.truncate(10 << 20)
    with open(layer.at("huge"), "r+b") as file:
        for place in (0, 4 << 20, (4 << 30) + (5 << 20), (6 << 30) - 10):
            file.seek(place)
            file.write(b"x" * 10)


def sizes(l):
    for size in (0, 1, 511, 512, 4095, 4096, 4097, 12 * 4096, 12 * 4096 + 1,
                 1036 * 4096, 1036 * 4096 + 1, 9 << 20):
        l[0].file(f"size-{size}", bytes([size % 251]) * size)


def names(l):
    for name in ("n" * 255, "\udcff\udcfe", "new\nline", "back\\slash",
                 "co:lon,comma", "\u65e5" * 85, " ", "-rf", ".wh.a", "a=b"):
        l[0].file(f"d/{name}", "x")
        l[0].file(f"dirs/{name}/inside", "x")
    l[1].file(f"d/{'n' * 254}", "x")


def deep_directories(l):
    l[0].file("/".join(["d"] * 60) + "/f", "x")
    l[1].file("/".join(["d"] * 59) + "/f", "x")


def a_big_directory(l):
    for number in range(3000):
        l[number % 2].file(f"d/file-number-{number}", "")
    l[0].whiteout("d/file-number-1")


def times(l):
    for number, seconds in enumerate((0, -1, -2**31, 2**31 - 1, 2**31, 2**32,
                                      2**33, 2**33 + 2**31 + 2**32 - 1)):
        l[0].file(f"t{number}", "x")
        l[0].times(f"t{number}", seconds, 999999999 - number)
    l[0].dir("d")
    l[0].times("d", -1000, 1)
    l[0].symlink("s", "x")
    l[0].times("s", 2**32 + 1, 123456789)


def modes_and_owners(l):
    for mode in (0, 0o4755, 0o2755, 0o1777, 0o7777, 0o400):
        l[0].file(f"f{mode:o}", "x", mode)
        l[0].dir(f"d{mode:o}", mode)
    for number, (uid, gid) in enumerate(((0, 65535), (65536, 65537),
                                         (2**32 - 2, 2**31))):
        l[0].file(f"o{number}", "x")
        l[0].owner(f"o{number}", uid, gid)


def redirects(l, l3):
    l[0].dir("relative", redirect=b"old")
    l[0].whiteout("old")
    l[1].file("old/inside", "x")
    l[0].dir("absolute", redirect=b"/p/q")
    l[0].whiteout("p")
    l[1].file("p/q/inside", "x")
    l[2].file("p/q/lowest", "x")
    l[0].dir("both", opaque=b"y", redirect=b"/z")
    l[0].whiteout("z")
    l[1].file("z/cut", "x")
    l[0].dir("missing", redirect=b"/nowhere")
    l[0].dir("to-file", redirect=b"/a-file")
    l[1].file("a-file", "x")
    l[0].file("d/plain", "x")
    l[0].xattr("d/plain", REDIRECT, b"/a-file")


def redirect_chain(l, l3):
    l[0].dir("c", redirect=b"/b")
    l[0].whiteout("b")
    l[1].dir("b", redirect=b"/a")
    l[1].file("b/middle", "x")
    l[1].whiteout("a")
    l[2].file("a/lowest", "x")


def redirect_into_upper(l, u):
    u.dir("new", redirect=b"/d/sub")
    u.dir("d")
    u.whiteout("d/sub")
    l[0].file("d/sub/f", "x")
    l[1].file("d/sub/g", "x")


def redirect_target_whited_out_below(l, l3):
    l[0].dir("r", redirect=b"/a")
    l[1].whiteout("a")
    l[2].file("a/f", "x")


def refuse_redirect_out_of_layer(l):
    l[0].dir("r", redirect=b"../t")
    l[1].file("r/f", "x")


def refuse_redirect_trailing_slash(l):
    l[0].dir("r", redirect=b"/t/")
    l[1].file("t/f", "x")


def refuse_redirect_double_slash(l):
    l[0].dir("r", redirect=b"//t")
    l[1].file("t/f", "x")


def refuse_empty_redirect(l):
    l[0].dir("r", redirect=b"")
    l[1].file("r/f", "x")


def refuse_redirect_to_root(l):
    l[0].dir("r", redirect=b"/")


def refuse_two_redirects_to_one_directory(l):
    l[0].dir("r1", redirect=b"/d")
    l[0].dir("r2", redirect=b"/d")
    l[0].whiteout("d")
    l[1].file("d/f", "x")


def protected_flags(l, u):
    for name, value in {"ai": b"ai", "ia": b"ia", "i": b"i", "a": b"a",
                        "x": b"x", "none": b""}.items():
        for layer, where in ((u, "u"), (l[0], "l")):
            layer.file(f"{where}-{name}", "x")
            layer.xattr(f"{where}-{name}", "trusted.overlay.protattr", value)
    u.dir("dir")
    u.xattr("dir", "trusted.overlay.protattr", b"a")


def metacopy(l):
    l[1].file("m", "data of the lower" * 1000)
    l[1].xattr("m", "user.lower", b"1")
    l[0].file("m")
    os.truncate(l[0].at("m"), 17000)
    l[0].xattr("m", METACOPY)
    l[0].xattr("m", "user.top", b"1")
    l[0].owner("m", 3, 4)
    os.chmod(l[0].at("m"), 0o4711)


def metacopy_in_upper(l, u):
    l[0].file("moved/from", "data of the lower")
    u.file("to")
    os.truncate(u.at("to"), 17)
    u.xattr("to", METACOPY)
    u.xattr("to", REDIRECT, b"/moved/from")
    u.whiteout("moved/from")


def metacopy_chain(l, l3):
    l[2].file("d/data", "lowest" * 3000)
    for layer, path in ((l[1], "d/data"), (l[0], "m")):
        layer.file(path)
        os.truncate(layer.at(path), 18000)
        layer.xattr(path, METACOPY)
    l[0].xattr("m", REDIRECT, b"/d/data")
    l[0].whiteout("d/data")


def data_only_layers(l, d):
    d.file("blobs/1", "data of the data layer" * 500)
    d.file("blobs/sparse")
    os.truncate(d.at("blobs/sparse"), 1 << 20)
    d.file("not-listed", "x")
    for name, blob, size in (("f", "1", 11000), ("s", "sparse", 1 << 20)):
        l[0].file(f"dir/{name}")
        os.truncate(l[0].at(f"dir/{name}"), size)
        l[0].xattr(f"dir/{name}", METACOPY)
        l[0].xattr(f"dir/{name}", REDIRECT, f"/blobs/{blob}".encode())
    l[1].file("plain", "x")


metacopy.options = "metacopy=on"
data_only_layers.options = "metacopy=on"
metacopy_in_upper.options = "metacopy=on"
metacopy_chain.options = "metacopy=on"


def refuse_metacopy_without_data(l):
    l[0].file("m")
    l[0].xattr("m", METACOPY)


CASES = [item for item in list(globals().values())
         if inspect.isfunction(item) and item.__module__ == __name__
         and list(inspect.signature(item).parameters)[:1] == ["l"]]


class Stack:
    """The layers of one case, and the ways to look at them."""

    def __init__(self, space, case, fs_type):
        self.space, self.case, self.fs_type = space, case, fs_type
        wants = inspect.signature(case).parameters
        self.lowers = [space.dir(f"lower{number}") for number in
                       range(1, 4 if "l3" in wants else 3)]
        self.upper = space.dir("upper") if "u" in wants else None
        arguments = {"l": [Layer(path) for path in self.lowers]}
        if "l3" in wants:
            arguments["l3"] = True
        if self.upper:
            arguments["u"] = Layer(self.upper)
        self.data = space.dir("data") if "d" in wants else None
        if self.data:
            arguments["d"] = Layer(self.data)
        case(**arguments)

    def below(self):
        """The lowers as they stand in lowerdir, where an empty name before
        the last makes it data-only."""
        return [*self.lowers, *(["", self.data] if self.data else [])]

    def kernel(self):
        options = getattr(self.case, "options", "")
        if not self.upper:
            with ovltest.overlay(self.space, self.below(),
                                 options=options) as mount:
                return dump_dir(mount)
        upper = ovltest.copy_tree(self.upper, self.space.path / "upper-copy")
        with ovltest.overlay(self.space, self.lowers, upper,
                             self.space.dir("work-copy"), options) as mount:
            return dump_dir(mount)

    def reader(self):
        upper = ["--upper", self.upper] if self.upper else []
        data = ["--data", self.data] if self.data else []
        return treedump("layers", *self.lowers, *upper, *data)

    def parameters(self):
        yield "lowerdir=" + ":".join(map(str, self.below()))
        yield f"type={self.fs_type}"
        if self.upper:
            yield f"upperdir={self.upper}"
            yield f"workdir={self.space.dir('work')}"

    def guest(self):
        """As mounted from the device; upper must come out as it went in."""
        before = dump_dir(self.upper) if self.upper else None
        with Server(self.space, *self.parameters()) as server:
            server.fsck()
            with server.mounted(self.fs_type, options="ro") as mount:
                seen = dump_dir(mount)
        if before:
            check_same(before, dump_dir(self.upper), "upper before",
                       "upper after", "nothing was written")
        return seen


def check_case(space, case, fs_type):
    stack = Stack(space, case, fs_type)
    expected = stack.kernel()
    check_same(expected, stack.reader(), "kernel overlay", "our reader")
    check_same(expected, stack.guest(), "kernel overlay", "guest")


def check_refused(space, case, fs_type):
    """The kernel does not show these either; nbdkit says so at the start."""
    stack = Stack(space, case, fs_type)
    done = subprocess.run(
        ["nbdkit", "-f", "-U", "-", str(ovltest.PLUGIN), *stack.parameters(),
         "--run", "true"], text=True, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    check(done.returncode != 0, "the stack was served")
    lines = done.stderr.strip().splitlines()
    check(len(lines) == 1, f"not one line of error:\n{done.stderr}")
    say(f"    {lines[0]}")


def check_overlay_as_lower(space, fs_type):
    """A mounted overlay is a directory like any other."""
    top, layers = space.dir("top"), [space.dir("a"), space.dir("b")]
    for number, layer in enumerate(layers):
        Layer(layer).file("d/both", f"{number}" * 5000)
        Layer(layer).file(f"d/only{number}", "x")
    Layer(layers[0]).whiteout("d/only1")
    Layer(top).file("d/new", "x")
    with ovltest.overlay(space, layers) as lower:
        with ovltest.overlay(space, [top, lower]) as mount:
            expected = dump_dir(mount)
        with Server(space, f"lowerdir={top}:{lower}",
                    f"type={fs_type}") as server:
            with server.mounted(fs_type, options="ro") as mount:
                check_same(expected, dump_dir(mount), "kernel overlay", "guest")


def test(space, chosen, fs_type):
    failed = []
    if not chosen:
        say("overlay as a lower")
        check_overlay_as_lower(space, fs_type)
    for case in CASES:
        if chosen and case.__name__ not in chosen:
            continue
        say(case.__name__)
        with ovltest.Workspace(case.__name__) as inner:
            try:
                (check_refused if case.__name__.startswith("refuse")
                 else check_case)(inner, case, fs_type)
            except Failure as failure:
                inner.failed = True
                failed.append(case.__name__)
                say(f"  {failure}")
    check(not failed, f"{len(failed)} cases: {' '.join(failed)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", default="ext2")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    ovltest.main(test, arguments.cases, arguments.type)
