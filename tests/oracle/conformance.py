#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What upper looks like after each kind of change, object by object.

Every case has a directory of its own in one stack of L2, L1 and U: `setup`
fills it by shell commands that run where L1, L2 and U are (each holding the
case's directory), `change` runs in the guest's copy of that directory, and
`expected` is what U must then hold in it, a line an object:

    d path [opaque] [redirect=/...]   f, l, p, s, c, b path   w path (whiteout)

with other overlay attributes named as they are. Beyond that, the kernel's
overlay must show what the guest last saw.

    conformance.py [CASE...]
"""
import os
import pathlib
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, check, say  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402

PRIVATE = "trusted.overlay."
HELPERS = """
set -e
file() { mkdir -p "$(dirname "$1")"; printf %s "${2-data of $1}" >"$1"; }
whiteout() { mkdir -p "$(dirname "$1")"; mknod "$1" c 0 0; }
opaque() { mkdir -p "$1"; setfattr -n trusted.overlay.opaque -v y "$1"; }
"""

# number and name, setup, change, expected
CASES = [
    ("1 create", "", "file f", "f f"),
    ("2 create in a lower directory", "mkdir L1/d", "file d/n", "d d; f d/n"),
    ("3 mkdir", "", "mkdir n", "d n opaque"),
    ("4 mkdir in a new directory", "", "mkdir n n/m", "d n opaque; d n/m"),
    ("5 chmod", "file L1/f", "chmod 700 f", "f f"),
    ("6 chown", "file L1/f", "chown 5:6 f", "f f"),
    ("8 append", "file L1/f", "echo more >>f", "f f"),
    ("9 truncate", "file L1/f", ": >f", "f f"),
    ("10 touch a sparse file", "truncate -s 100M L1/f", "touch f", "f f"),
    ("11 times", "file L1/f", "touch -d '1969-01-02 03:04:05.678' f", "f f"),
    ("12 owner of a symlink", "ln -s t L1/s", "chown -h 7:8 s", "l s"),
    ("13 special files", "mkfifo L1/p; mknod L1/c c 1 3;"
     "mknod L1/b b 300 70000", "chmod 640 p c b", "b b; c c; p p"),
    ("14 chmod of a directory", "mkdir L1/d; file L1/d/x", "chmod 700 d",
     "d d"),
    ("15 a default ACL", "mkdir -m 2775 L1/d; setfacl -d -m u:7:rwx L1/d",
     "file d/n", "d d; f d/n"),
    ("16 a default ACL in upper", "mkdir U/d; setfacl -d -m u:7:rwx U/d",
     "file d/n; setfacl -b d/n", "d d opaque; f d/n"),
    ("17 set an attribute", "file L1/f; setfattr -n user.k -v 1 L1/f",
     "setfattr -n user.a -v 2 f", "f f"),
    ("18 remove an attribute", "file L1/f; setfattr -n user.k -v 1 L1/f",
     "setfattr -x user.k f", "f f"),
    ("19 an overlay attribute of the guest's", "file L1/d/x",
     "setfattr -n trusted.overlay.opaque -v y d",
     "d d trusted.overlay.overlay.opaque"),
    ("20 an escaped attribute stays", "file L1/f;"
     "setfattr -n trusted.overlay.overlay.x -v 1 L1/f", "chmod 600 f",
     "f f trusted.overlay.overlay.x"),
    ("21 a private attribute is dropped", "file L1/f;"
     "setfattr -n trusted.overlay.junk -v 1 L1/f", "chmod 600 f", "f f"),
    ("22 the other family is ordinary", "file L1/f;"
     "setfattr -n user.overlay.foo -v 1 L1/f", "chmod 600 f", "f f"),
    ("23 an immutable file", "file L1/f", "chattr +i f",
     "f f trusted.overlay.protattr"),
    ("24 append-only, too", "file L1/f; mkdir L1/d",
     "chattr +ai f; chattr +a d",
     "d d trusted.overlay.protattr; f f trusted.overlay.protattr"),
    ("24 flags set and cleared", "file L1/f; touch -d @5 L1",
     "chattr +a f; chattr +i f; chattr -i f; chattr -a f", ""),
    ("24 flags of upper cleared", "file U/f;"
     "setfattr -n trusted.overlay.protattr -v ai U/f", "chattr -ai f", "f f"),
    ("26 only an access time", "file L1/f", "touch -a f", ""),
    ("28 mkdir and rmdir", "touch -d @5 L1", "mkdir n; rmdir n;"
     "touch -d @5 .", ""),
    ("29 rm", "file L1/f", "rm f", "w f"),
    ("30 rm of what only upper has", "file U/f", "rm f", ""),
    ("31 rm of what both have", "file U/f; file L1/f", "rm f", "w f"),
    ("32 rm -r", "file L1/d/a; file L1/d/b", "rm -r d", "w d"),
    ("33 rm in a directory", "file L1/d/a", "rm d/a", "d d; w d/a"),
    ("34 and then rmdir", "file L1/d/a", "rm d/a; rmdir d", "w d"),
    ("35 no whiteout over a whiteout", "file L2/d/x; whiteout L1/d",
     "mkdir d; rmdir d", ""),
    ("36 rm -r and mkdir", "file L1/d/a", "rm -r d; mkdir d", "d d opaque"),
    ("37 no whiteout in an opaque directory", "file L1/d/a",
     "rm -r d; mkdir d; file d/a; rm d/a", "d d opaque"),
    ("38 rm and create", "file L1/f", "rm f; file f new", "f f"),
    ("39 a directory for a file", "file L1/f", "rm f; mkdir f", "d f opaque"),
    ("40 a file for a directory", "file L1/d/a", "rm -r d; file d", "f d"),
    ("41 rm of what only the lowest has", "file L2/f", "rm f", "w f"),
    ("42 a long name", "file L1/" + "n" * 255, "rm " + "n" * 255,
     "w " + "n" * 255),
    ("43 rmdir over a whiteout in upper", "file L1/d/a; whiteout U/d/a",
     "rmdir d", "w d"),
    ("44 a stray whiteout in a pure upper directory",
     "opaque U/d; whiteout U/d/stray", "rmdir d", ""),
    ("45 append to one of two names", "file L1/g; ln L1/g L1/g2",
     "echo x >>g", "f g; f g2"),
    ("46 rm of one of two names", "file L1/g; mkdir L1/d; ln L1/g L1/d/g2",
     "rm g", "w g"),
    ("47 and append to the other", "file L1/g; mkdir L1/d; ln L1/g L1/d/g2",
     "rm g; echo x >>d/g2", "d d; f d/g2; w g"),
    ("48 a new name for a lower file", "file L1/a", "ln a b", "f a; f b"),
    ("49 rm of one of upper's names", "file U/a; ln U/a U/b", "rm a", "f b"),
    ("50 a new name, the old one gone", "file L1/a", "ln a b; rm a",
     "f b; w a"),
    ("51 chmod of three names", "file L1/a; ln L1/a L1/b; ln L1/a L1/c",
     "chmod 600 b", "f a; f b; f c"),
    ("53 rename a lower file", "file L1/f", "mv f g", "f g; w f"),
    ("54 rename an upper file", "file U/f", "mv f g", "f g"),
    ("55 rename over a lower file", "file L1/f; file L1/h", "mv f h",
     "f h; w f"),
    ("56 rename onto a removed name", "file L1/f; file L1/h",
     "rm h; mv f h", "f h; w f"),
    ("57 rename there and back", "file L1/f", "mv f g; mv g f; touch -d @9 .",
     ""),
    ("58 exchange two files", "file L1/a 1; file L1/b 2",
     "mv a t; mv b a; mv t b", "f a; f b"),
    ("59 rename a lower directory", "file L1/D/x; mkdir L1/D/s", "mv D E",
     "d E redirect=/D; w D"),
    ("61 and a directory out of it", "file L1/D/x; file L1/D/s/y",
     "mv D E; mv E/s q",
     "d E redirect=/D; d q redirect=/D/s; w D; w E/s"),
    ("62 and a new one in its place", "file L1/D/x", "mv D E; mkdir D",
     "d D opaque; d E redirect=/D"),
    ("63 and back again", "file L1/D/x", "mv D E; mv E D; touch -d @9 .",
     ""),
    ("64 and rm in it", "file L1/D/x; file L1/D/y", "mv D E; rm E/x",
     "d E redirect=/D; w D; w E/x"),
    ("65 and rm -r of it", "file L1/D/x", "mv D E; rm -r E", "w D"),
    ("66 swap two directories", "file L1/a/x; file L1/b/y",
     "mv a t; mv b a; mv t b", "d a redirect=/b; d b redirect=/a"),
    ("67 a child becomes the parent", "file L1/a/x; file L1/a/k/y",
     "mv a/k t; mv a t/a; mv t k",
     "d k redirect=/a/k; d k/a redirect=/a; w a; w k/a/k"),
    ("68 a new directory over a removed one", "file L1/d/x",
     "mkdir n; file n/f; rm -r d; mv n d", "d d opaque; f d/f"),
    ("69 a new directory to a merged parent", "mkdir L1/d",
     "mkdir n n/m; mv n/m d/m", "d d; d d/m opaque; d n opaque"),
    ("70 both parts move", "file L1/D/x; file L2/D/y", "mv D E",
     "d E redirect=/D; w D"),
    ("72 a directory to a removed file's name", "file L1/F; file L1/D/x",
     "rm F; mv D F", "d F redirect=/D; w D"),
    ("73 a lower's redirect moves on", "file L2/d/x; whiteout L1/d;"
     "mkdir L1/r; setfattr -n trusted.overlay.redirect -v /{case}/d L1/r",
     "mv r z", "d z redirect=/r; w r"),
    ("74 a lower directory into a new one", "file L1/d/x",
     "mkdir n; mv d n/d", "d n opaque; d n/d redirect=/d; w d"),
    ("75 a file replaced as editors do", "file L1/f",
     "file f.new x; mv f.new f", "f f"),
    ("76 rm -rf and the same tree again", "file L1/d/a; file L1/d/s/b",
     "rm -r d; file d/a; file d/s/b", "d d opaque; d d/s; f d/a; f d/s/b"),
]

WITHOUT_REDIRECTS = [
    ("60 rename a lower directory", "file L1/D/x; file L2/D/y", "mv D E",
     "d E opaque; f E/x; f E/y; w D"),
    ("66 swap two directories", "file L1/a/x; file L1/b/y",
     "mv a t; mv b a; mv t b",
     "d a opaque; d b opaque; f a/y; f b/x"),
    ("63 there and back", "file L1/D/x; touch -d @5 L1",
     "mv D E; mv E D; touch -d @5 .", ""),
]


def describe(top, path):
    """A line for one object of U, as in `expected`."""
    where = top / path
    st = os.lstat(where)
    letters = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l",
               stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p",
               stat.S_IFSOCK: "s"}
    if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
        return f"w {path}"
    notes = []
    for name in sorted(os.listxattr(where, follow_symlinks=False)):
        if name == PRIVATE + "opaque":
            notes.append("opaque")
        elif name == PRIVATE + "redirect":
            target = os.getxattr(where, name).decode()
            notes.append("redirect=" + target.removeprefix(f"/{top.name}"))
        elif name.startswith(PRIVATE):
            notes.append(name)
    return " ".join([letters[stat.S_IFMT(st.st_mode)], str(path), *notes])


def upper_of(top):
    if not top.exists():
        return []
    paths = (pathlib.Path(where).relative_to(top) / name
             for where, dirs, files in os.walk(top)
             for name in dirs + files)
    return sorted(describe(top, path) for path in paths)


def shell(where, commands):
    done = subprocess.run(["sh", "-c", HELPERS + commands], cwd=where,
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    check(done.returncode == 0, f"{commands}: {done.stdout}")


class Stack:
    """All cases in one stack of layers, a directory each."""

    def __init__(self, space, cases, redirect):
        self.space, self.cases, self.redirect = space, cases, redirect
        self.layers = {name: space.dir(name) for name in ("L1", "L2", "U")}
        for number, (_, setup, _, _) in enumerate(cases):
            self.set_up(f"case{number}", setup)

    def set_up(self, case, setup):
        place = self.space.dir(f"setup-{case}")
        for name, layer in self.layers.items():
            (layer / case).mkdir()
            (place / name).symlink_to(layer / case)
        shell(place, setup.replace("{case}", case))
        # Upper begins without a directory that the case did not fill.
        if not any((self.layers["U"] / case).iterdir()):
            (self.layers["U"] / case).rmdir()

    def run(self):
        lowers = [self.layers["L1"], self.layers["L2"]]
        with Server(self.space, f"lowerdir={lowers[0]}:{lowers[1]}",
                    f"upperdir={self.layers['U']}",
                    f"workdir={self.space.dir('W')}",
                    f"redirect_dir={self.redirect}") as server:
            with server.mounted() as guest:
                for number, (_, _, change, _) in enumerate(self.cases):
                    shell(guest / f"case{number}", change)
                seen = dump_dir(guest)
            server.fsck()
        upper = ovltest.copy_tree(self.layers["U"], self.space.path / "copy")
        with ovltest.overlay(self.space, lowers, upper,
                             self.space.dir("copy-work"),
                             f"redirect_dir={self.redirect}") as mount:
            check_same(dump_dir(mount), seen, "kernel overlay", "guest")

    def judge(self):
        wrong = 0
        for number, (name, _, _, expected) in enumerate(self.cases):
            found = upper_of(self.layers["U"] / f"case{number}")
            if found == sorted(filter(None, expected.split("; "))):
                say(f"{name}: {'; '.join(found)}")
                continue
            wrong += 1
            say(f"{name}: FAILED\n  expected {expected}\n"
                f"  found    {'; '.join(found)}")
        return wrong


def test(space, chosen):
    wrong = 0
    for redirect, cases in (("on", CASES), ("off", WITHOUT_REDIRECTS)):
        wanted = [case for case in cases
                  if not chosen or case[0].split()[0] in chosen]
        if not wanted:
            continue
        with ovltest.Workspace(f"redirect-{redirect}") as inner:
            try:
                stack = Stack(inner, wanted, redirect)
                stack.run()
            except Failure:
                inner.failed = True
                raise
            finally:
                wrong += stack.judge()
    check(wrong == 0, f"{wrong} cases leave another upper")


if __name__ == "__main__":
    ovltest.main(test, sys.argv[1:])
