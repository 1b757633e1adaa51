# SPDX-License-Identifier: BSD-3-Clause
"""Cases of read_side.py: which object shows under a name.

Parameters of a case: l = lowers, topmost first (two are made, three where a case
asks for l3), u = upper, d = a data-only layer.
"""
import os
import stat

from made_layer import METACOPY, OPAQUE, REDIRECT, WHITEOUT


def refused(*says, kernel_shows=False):
    """Marks a case that must be refused with one line that says this, as the
    kernel fails on it."""
    def mark(case):
        case.says = says
        case.kernel_shows = kernel_shows
        return case
    return mark


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


@refused('lower1/r: malformed redirect "../t"')
def refuse_redirect_out_of_layer(l):
    l[0].dir("r", redirect=b"../t")
    l[1].file("r/f", "x")


@refused("lower1/r: malformed redirect")
def refuse_redirect_trailing_slash(l):
    l[0].dir("r", redirect=b"/t/")
    l[1].file("t/f", "x")


@refused("lower1/r: malformed redirect")
def refuse_redirect_double_slash(l):
    l[0].dir("r", redirect=b"//t")
    l[1].file("t/f", "x")


@refused('lower1/r: malformed redirect ""')
def refuse_empty_redirect(l):
    l[0].dir("r", redirect=b"")
    l[1].file("r/f", "x")


@refused("lower1/r: malformed redirect")
def refuse_redirect_to_root(l):
    l[0].dir("r", redirect=b"/")


@refused("upper/r", "a redirect shows this directory twice")
def refuse_two_redirects_to_one_directory(l, u):
    u.dir("r1", redirect=b"/d")
    u.dir("r2", redirect=b"/d")
    u.whiteout("d")
    l[1].file("d/f", "x")


# The kernel tells two such directories apart as long as none is in upper. With
# an upper over them they could not be kept apart: no stack may have them.
@refused("lower1/r", "a redirect shows this directory twice",
         kernel_shows=True)
def refuse_two_redirects_in_a_lower(l):
    l[0].dir("r1", redirect=b"/d")
    l[0].dir("r2", redirect=b"/d")
    l[0].whiteout("d")
    l[1].file("d/f", "x")


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


@refused("lower1/m: metacopy file without data")
def refuse_metacopy_without_data(l):
    l[0].file("m")
    l[0].xattr("m", METACOPY)


@refused("lower1/d/m: metacopy file without data")
def refuse_metacopy_with_a_directory_below(l):
    l[0].file("d/m")
    l[0].xattr("d/m", METACOPY)
    l[1].dir("d/m")


@refused("lower1/m: malformed metacopy")
def refuse_malformed_metacopy(l):
    l[0].file("m")
    l[0].xattr("m", METACOPY, b"\0\1\0")
    l[1].file("m", "x")


@refused("lower2/d/r", "a redirect shows this directory twice",
         kernel_shows=True)
def refuse_redirect_to_a_directory_that_shows_itself(l, l3):
    l[1].dir("d/r", redirect=b"/e")
    l[2].file("e/f", "x")


@refused("upper/r: malformed redirect")
def refuse_malformed_redirect_in_upper(l, u):
    u.dir("r", redirect=b"a/b")
    l[0].file("a/b/f", "x")


def user_attributes(l):
    """They count under userxattr, and those of the other family do not."""
    for family in ("user", "trusted"):
        l[0].dir(f"{family}-opaque")
        l[0].xattr(f"{family}-opaque", f"{family}.overlay.opaque", b"y")
        l[1].file(f"{family}-opaque/below", "x")
        l[0].file(f"{family}-whiteout")
        l[0].xattr(f"{family}-whiteout", f"{family}.overlay.whiteout")
        l[1].file(f"{family}-whiteout", "x")
        l[0].file("f", "x")
        l[0].xattr("f", f"{family}.overlay.overlay.x", b"escaped once")
        l[0].xattr("f", f"{family}.overlay.origin", b"")
    l[0].whiteout("gone")
    l[1].file("gone", "x")


user_attributes.options = "userxattr"


@refused("lower1/r: redirects cannot be followed")
def refuse_redirect_of_user_attributes(l):
    l[0].dir("r")
    l[0].xattr("r", "user.overlay.redirect", b"/d")
    l[1].file("r/f", "x")
    l[1].file("d/f", "x")


refuse_redirect_of_user_attributes.options = "userxattr"
