# SPDX-License-Identifier: BSD-3-Clause
"""Cases of read_side.py: what an object is and holds.

Parameters of a case: l = lowers, topmost first (two are made, three where a case
asks for l3), u = upper, d = a data-only layer.
"""
import os
import stat
import struct


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
    layer.file("large")
    os.truncate(layer.at("large"), 300 << 20)
    for path, places in {"start": [0], "end": [(10 << 20) - 4096],
                         "indirect": [12 * 4096, 1036 * 4096, 2000 * 4096],
                         "odd": [5000, 123457, 9999999]}.items():
        layer.file(path)
        with open(layer.at(path), "r+b") as file:
            for place in places:
                file.seek(place)
                file.write(path.encode() * 50)
            file.truncate(10 << 20)
    with open(layer.at("large"), "r+b") as file:
        for place in (0, 4 << 20, 200 << 20, (300 << 20) - 10):
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


def protected_flags(l, u):
    for name, value in {"ai": b"ai", "ia": b"ia", "i": b"i", "a": b"a",
                        "x": b"x", "none": b""}.items():
        for layer, where in ((u, "u"), (l[0], "l")):
            layer.file(f"{where}-{name}", "x")
            layer.xattr(f"{where}-{name}", "trusted.overlay.protattr", value)
    u.dir("dir")
    u.xattr("dir", "trusted.overlay.protattr", b"a")
