#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Cases of the checklist that need a device, or an upper's root, of their own:
27, 28, 52, 94 to 96, 99 and 100.

    conformance_environment.py [--type ext4] [CASE...]
"""
import argparse
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Server, check, run, say  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402
from written_case import UpperText, shell  # noqa: E402

FAMILY = "trusted.overlay."


class Place:
    """A lower, an upper, a work directory, and their servers and mounts."""

    def __init__(self, space, fs_type):
        self.space, self.fs_type = space, fs_type
        self.lower, self.upper, self.work = (
            space.dir(name) for name in ("lower", "upper", "work"))
        shell(self.lower, "file f; file d/x")

    def parameters(self):
        return [f"lowerdir={self.lower}", f"upperdir={self.upper}",
                f"workdir={self.work}", f"type={self.fs_type}", "size=+64M"]

    def in_guest(self, commands):
        """Serves, changes, ends; what the guest saw last."""
        with Server(self.space, *self.parameters()) as server:
            with server.mounted() as guest:
                shell(guest, commands)
                seen = dump_dir(guest)
            server.fsck()
        check(all("laid out anew" in line for line in
                  server.log().splitlines()), server.explain())
        return seen

    def kernel(self, options="", work=None):
        return ovltest.overlay(self.space, [self.lower], self.upper,
                               work or self.work, options)

    def lines(self):
        return UpperText(self.upper, FAMILY).lines()

    def check_kernel_shows(self, seen):
        with ovltest.overlay(self.space, [self.lower], self.upper) as mount:
            check_same(dump_dir(mount), seen, "kernel overlay", "guest")


def attributes_of(top):
    """Names of all attributes, by paths."""
    return {(path, name) for path in (top, *top.rglob("*"))
            for name in os.listxattr(path, follow_symlinks=False)}


def chmod_of_the_root_27(place):
    """What the kernel noted on the root stays there."""
    with place.kernel("uuid=on") as mount:
        (mount / "first").write_text("x")
    noted = {name: os.getxattr(place.upper, name)
             for name in os.listxattr(place.upper)}
    check(FAMILY + "uuid" in noted, f"the kernel noted only {noted}")
    seen = place.in_guest("chmod 751 .; chown 3:4 .; setfattr -n user.k -v 1 .")
    st = place.upper.stat()
    check((st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o751, 3, 4),
          f"{st}")
    noted["user.k"] = b"1"
    now = {name: os.getxattr(place.upper, name)
           for name in os.listxattr(place.upper)}
    check(now == noted, f"upper's root has {now}, not {noted}")
    place.check_kernel_shows(seen)


def mkdir_and_rmdir_in_the_root_28(place):
    place.in_guest("mkdir n; rmdir n")
    check(place.lines() == "", f"upper has {place.lines()}")


def index_of_the_kernel_52(place):
    """Content of upper may be outside of upper then: refused."""
    os.link(place.lower / "f", place.lower / "g")
    with place.kernel("index=on") as mount:
        with open(mount / "f", "a") as file:
            file.write("more")
        check((mount / "g").read_text() == "data of fmore", "no index")
    line = ovltest.refusal(*place.parameters())
    check(f"{place.work}/index" in line and "index=on" in line, line)


def leftovers_of_ours_94(place):
    """They are no matter to the kernel, and we clear them away."""
    place.in_guest("file n")
    shell(place.work / "ovl",
          "file staging/a/b/c; file staging/f; file mark.new")
    with place.kernel() as mount:
        (mount / "by-the-kernel").write_text("x")
    check((place.work / "ovl/staging/a/b/c").exists(), "the kernel took them")
    seen = place.in_guest("file m; rm f")
    check(not list(place.work.glob("ovl/staging/*")), "they are still there")
    place.check_kernel_shows(seen)


def the_kernel_writes_after_us_95(place):
    """In our own work directory, as often as we change places."""
    for turn in range(3):
        place.in_guest(f"file ours{turn}; mv d e; mv e d; rm -f f")
        with place.kernel("redirect_dir=on") as mount:
            (mount / f"theirs{turn}").write_text("writable")
            (mount / f"ours{turn}").unlink()
            run("touch", mount / "d" / "x")
        check((place.work / "work").is_dir(), "no work of the kernel's")
    seen = place.in_guest("mv d moved")
    place.check_kernel_shows(seen)
    names = {line.split(" ")[0] for line in seen}
    check({"/theirs0", "/theirs2", "/moved/x"} <= names and
          not {"/f", "/ours0", "/ours2"} & names, f"the guest saw {names}")


def an_unsettled_upper_is_refused_96(place):
    """A volatile mount's, and whatever else says so."""
    with place.kernel("volatile") as mount:
        (mount / "n").write_text("x")
    line = ovltest.refusal(*place.parameters())
    check(f"{place.work}/work/incompat/volatile" in line, line)
    run("rm", "-r", place.work / "work/incompat/volatile")
    place.in_guest("file m")
    (place.work / "work/incompat/other").mkdir(parents=True)
    line = ovltest.refusal(*place.parameters())
    check(f"{place.work}/work/incompat/other" in line, line)


def a_device_that_would_be_a_whiteout_99(place):
    """As FORMAT.md has it: a device for us, an empty file for the kernel. The
    guest's own mount could not make it in the kernel's overlay."""
    seen = place.in_guest("mknod n c 0 0; chmod 640 n; touch -d @7 n")
    check(place.lines() == [f"f n {FAMILY}ovl.chardev"], f"{place.lines()}")
    value = os.getxattr(place.upper / "n", FAMILY + "ovl.chardev")
    check(value == b"0:0", f"{value}")
    with ovltest.overlay(place.space, [place.lower], place.upper) as mount:
        check_same(*([line for line in lines if not line.startswith("/n ")]
                     for lines in (dump_dir(mount), seen)),
                   "kernel overlay", "guest")
        st = (mount / "n").stat()
        check((st.st_mode, st.st_size, st.st_mtime) == (0o100640, 0, 7),
              f"{st}")
    with Server(place.space, *place.parameters()) as server:
        with server.mounted(options="ro") as guest:
            check_same(dump_dir(guest), seen, "served anew", "guest")


def the_kernel_looks_at_it_100(place):
    """It adds its notes to upper, and the device is the same over them."""
    seen = place.in_guest("file n; file d/n; mkdir -p e/f; rm f; mv d D")
    before = attributes_of(place.upper)
    with place.kernel("redirect_dir=on,uuid=on") as mount:
        run("ls", "-lR", mount)
    added = attributes_of(place.upper) - before
    check(not before - attributes_of(place.upper), "the kernel took something")
    check({name for _, name in added} ==
          {FAMILY + "origin", FAMILY + "impure", FAMILY + "uuid"},
          f"the kernel added {added}")
    check(place.in_guest("true") == seen, "the device shows another tree")


CASES = [chmod_of_the_root_27, mkdir_and_rmdir_in_the_root_28,
         index_of_the_kernel_52, leftovers_of_ours_94,
         the_kernel_writes_after_us_95, an_unsettled_upper_is_refused_96,
         a_device_that_would_be_a_whiteout_99, the_kernel_looks_at_it_100]


def test(space, args):
    for case in CASES:
        number = case.__name__.rsplit("_", 1)[1]
        if args.case and number not in args.case:
            continue
        say(case.__name__)
        with ovltest.Workspace(case.__name__) as inner:
            try:
                case(Place(inner, args.type))
            except BaseException:
                inner.failed = space.failed = True
                raise


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", choices=["ext2", "ext4"], default="ext2")
    parser.add_argument("case", nargs="*")
    ovltest.main(test, parser.parse_args())


if __name__ == "__main__":
    main()
