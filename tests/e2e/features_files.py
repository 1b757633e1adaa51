# SPDX-License-Identifier: BSD-3-Clause
"""Features of the overlay that are about files and their attributes."""
import errno
import os
import time

import ovltest
from feature_case import (PRIVATE, Case, as_user, check_untouched, fill,
                          refused, states_of)
from ovltest import check, run
from sparse_files import GIB, check_same_file, data_runs, pieces
from treecmp import check_same, dump_dir

USER = 1000
BLOCK = 4096
MIB = 1 << 20


def statfs(space):
    """It tells of the device: one file system, whatever layer a file is of,
    and room that is used and comes back."""
    case = Case(space, lowers=2)
    fill(case.lowers[0], "top/f")
    fill(case.lowers[1], "low/f")
    with case.served() as guest:
        first = os.statvfs(guest)
        check(first.f_bsize == BLOCK and first.f_namemax == 255, f"{first}")
        check(first.f_bavail * BLOCK >= 256 << 20, "size=+256M gives less")
        for path in ("top/f", "low/f"):
            check(os.statvfs(guest / path) == first, f"{path}: another")
        (guest / "new").write_bytes(os.urandom(16 << 20))
        fill(guest, "low/f")
        case.settle(guest)
        used = first.f_bfree - os.statvfs(guest).f_bfree
        check(4096 <= used <= 4096 + 64, f"{used} blocks for 16 MiB")
        check(first.f_ffree - os.statvfs(guest).f_ffree == 1, "inodes")
        (guest / "new").unlink()
        case.settle(guest)
        last = os.statvfs(guest)
        check(first.f_bfree - last.f_bfree <= 64 and
              last.f_ffree == first.f_ffree, f"{first}\n{last}")
    with case.served() as guest:
        check(os.statvfs(guest) == last, "other numbers after a restart")


def writes_to(guest, mode):
    """A new mode of the mount, as the guest sets it."""
    run("mount", "-o", f"remount,{mode}", guest)


def remount_read_only_and_back(space):
    """Nothing goes to upper while the guest's mount is read-only."""
    case = Case(space)
    fill(case.lower, "d/f d/g")
    with case.served() as guest:
        fill(guest, "d/f new")
        writes_to(guest, "ro")
        case.settle(guest)
        before = states_of(case.upper)
        refused(lambda: fill(guest, "d/g"), errno.EROFS)
        refused((guest / "d/f").unlink, errno.EROFS)
        dump_dir(guest)
        time.sleep(3)  # checkpoints would come in it
        check_untouched(before, case.upper)
        writes_to(guest, "rw")
        fill(guest, "d/g")
        (guest / "new").unlink()
        seen = case.settle(guest)
        case.expect_upper({"d": "d", "d/f": "f", "d/g": "f"})
    case.check_end(seen)


def copy_up_beyond_4_gib(space):
    """With its holes, and without a number that is too small for it."""
    case = Case(space)
    places = [0, 4 * GIB - 5000, 4 * GIB + 12345, 5 * GIB - 9000]
    for name in ("written", "chmod", "renamed"):
        pieces(case.lower / name, 5 * GIB + 1, places)
    with case.served() as guest:
        with open(guest / "written", "r+b") as file:
            for place in (4 * GIB + 40000, 5 * GIB):
                file.seek(place)
                file.write(b"by the guest")
        (guest / "chmod").chmod(0o600)
        (guest / "renamed").rename(guest / "moved")
        run("sync", "-f", guest)
        ovltest.wait_until(lambda: (case.upper / "moved").exists(), 60,
                           "the copy-up")
        with case.overlay() as kernel:
            for name in ("written", "chmod", "moved"):
                check_same_file(guest / name, kernel / name)
    for path in ("written", "chmod", "moved"):
        st = (case.upper / path).stat()
        size = 5 * GIB + (12 if path == "written" else 1)
        check(st.st_size == size and st.st_blocks * 512 < 1 << 20,
              f"{path}: {st.st_size} bytes, {st.st_blocks * 512} on disk")
    check(len(data_runs_of(case.upper / "written")) >
          len(data_runs_of(case.lower / "written")), "the write is not there")


def dense_about_4_gib(where):
    """Data on both sides, so much that a copy of it takes its time."""
    with open(where, "wb") as file:
        file.seek(4 * GIB - 384 * MIB)
        for _ in range(768):
            file.write(os.urandom(4096) * 256)
        file.truncate(5 * GIB + 1)


def copy_up_beyond_4_gib_goes_on(space):
    """Killed in the middle of it: what was copied is not lost."""
    case = Case(space)
    dense_about_4_gib(case.lower / "big")
    copies = case.work / "ovl/copies"
    with case.server() as server:
        with server.mounted() as guest:
            with open(guest / "big", "r+b") as file:
                file.seek(4 * GIB - 7)
                file.write(b"by the guest")
            (guest / "big").chmod(0o640)
            os.setxattr(guest / "big", "user.note", b"kept")
        ovltest.wait_until(lambda: list(copies.glob("*/record")), 60, "a copy")
        server.kill()
    check(not (case.upper / "big").exists(), "it was done before the kill")
    data = next(copies.glob("*/data"))
    first = data.stat()
    with case.server() as server:
        with server.mounted() as guest:
            seen = attributes_of(guest / "big", "blocks")
            ovltest.wait_until(lambda: (case.upper / "big").exists(), 120,
                               "the copy-up")
            with case.overlay() as kernel:
                check_same_file(guest / "big", kernel / "big")
                check(attributes_of(kernel / "big", "blocks") == seen,
                      "other attributes")
        check("waits for a copy of" in server.log(), server.log())
    check((case.upper / "big").stat().st_ino == first.st_ino,
          "it was begun anew")
    check(not copies.exists(), "a copy is left")


def data_runs_of(path):
    with open(path, "rb") as file:
        return data_runs(file.fileno())


ATTRIBUTES = ("mode", "uid", "gid", "size", "mtime_ns", "nlink", "blocks")


def attributes_of(path, *without):
    """All that stat tells but what is the device's own, and all xattrs."""
    st = path.lstat()
    found = {name: getattr(st, f"st_{name}") for name in ATTRIBUTES
             if name not in without}
    for name in os.listxattr(path, follow_symlinks=False):
        found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def attributes_come_from_the_underlying_file(space):
    """Before a copy-up and behind it, but for what the guest changed."""
    case = Case(space)
    fill(case.lower, "d/f d/g d/h")
    for path in (case.lower / "d/f", case.lower / "d"):
        os.chown(path, 1000, 1001)
        run("setfacl", "-m", "u:7:rwx", path)
        os.setxattr(path, "user.a", b"of the lower")
        os.setxattr(path, "trusted.b", b"\0\xff")
        os.chmod(path, 0o4750 if path.is_file() else 0o2770)
        os.utime(path, ns=(5, 1_234_567_890_123_456_789))
    lower = {name: attributes_of(case.lower / name, "blocks")
             for name in ("d", "d/f", "d/g", "d/h")}

    def expect(root, name, *without):
        found = attributes_of(root / name, *without, "blocks")
        wanted = {key: value for key, value in lower[name].items()
                  if key not in without}
        check(found == wanted, f"{name}: {found}\nand not {wanted}")
    with case.served() as guest:
        for name in lower:
            if name != "d":  # blocks of a directory count otherwise
                expect(guest, name)
        with open(guest / "d/f", "ab") as file:
            file.write(b"more")
        os.setxattr(guest / "d/g", "user.new", b"x")
        case.settle(guest)
        for root in (guest, case.upper):
            expect(root, "d/f", "size", "mtime_ns")
            expect(root, "d/h") if root is guest else None
        with case.overlay() as kernel:
            check(kernel.joinpath("d").stat().st_mtime_ns ==
                  case.lower.joinpath("d").stat().st_mtime_ns,
                  "the copy-up of a directory changed its time")
        seen = dump_dir(guest)
    case.check_end(seen)


def a_mounted_overlay_is_a_lower(space):
    """Any directory is, so layers can be stacked at will."""
    case = Case(space)
    below, top = space.dir("below"), space.dir("top")
    fill(below, "d/low d/both gone")
    fill(top, "d/both d/top")
    os.mknod(top / "gone", 0o020000, 0)
    with ovltest.overlay(space, [top, below]) as mount:
        case.lowers = [mount]
        with case.served() as guest:
            check_same(case.overlay_now(), dump_dir(guest), "overlay", "guest")
            (guest / "d/low").write_text("copied up\n")
            (guest / "d/both").unlink()
            fill(guest, "gone")
            seen = case.settle(guest)
            case.expect_upper({"d": "d", "d/both": "w", "d/low": "f",
                               "gone": "f"})
        case.check_end(seen)


def private_xattrs_are_never_listed(space):
    """Not a lower's, not ours; and the guest's own come back as it wrote."""
    case = Case(space)
    fill(case.lower, "d/f moved/f")
    for path in (case.lower / "d", case.lower / "d/f"):
        os.setxattr(path, PRIVATE + "junk", b"of a lower")
        os.setxattr(path, "user.seen", b"")

    def listed(guest):
        return {str(path.relative_to(guest)): found
                for path in [guest, *sorted(guest.rglob("*"))]
                if (found := sorted(os.listxattr(path)))}
    wanted = {"d": ["user.seen"], "d/f": ["user.seen"]}
    own = {**wanted, "d/own": [PRIVATE + "opaque", PRIVATE + "overlay.x"]}
    with case.server("redirect_dir=on") as server:
        with server.mounted() as guest:
            check(listed(guest) == wanted, f"of a lower: {listed(guest)}")
            (guest / "new").mkdir()
            (guest / "moved").rename(guest / "to")
            fill(guest, "d/f d/own")
            for name in own["d/own"]:
                os.setxattr(guest / "d/own", name, b"y")
            seen = case.settle(guest)
            check(listed(guest) == own, f"behind a copy-up: {listed(guest)}")
        server.kill()
    check(PRIVATE + "ovl.unsettled" in os.listxattr(case.upper),
          "upper has no mark that could be listed")
    for more in ([], ["relayout=yes"]):
        with case.server(*more, "redirect_dir=on") as server:
            with server.mounted() as guest:
                check(listed(guest) == own, f"{more}: {listed(guest)}")
                check_same(dump_dir(guest), seen, "after a restart", "before")


def constant_device_and_inode_numbers(space):
    """One st_dev; st_ino of a name is its d_ino, and stays: behind a copy-up,
    a rename, a restart."""
    case = Case(space, lowers=2)
    fill(case.lowers[0], "d/top d/both d/sub/f other/f")
    fill(case.lowers[1], "d/low d/both d/sub/g")

    def numbers(guest):
        found = {}
        for where, dirs, files in os.walk(guest):
            above = os.stat(where)
            check(above.st_dev == os.stat(guest).st_dev, f"{where}: st_dev")
            for entry in os.scandir(where):
                st = entry.stat(follow_symlinks=False)
                check(st.st_dev == above.st_dev and
                      st.st_ino == entry.inode(), f"{entry.path}: numbers")
                found[os.path.relpath(entry.path, guest)] = st.st_ino
            for name in dirs:
                check(os.stat(f"{where}/{name}/..").st_ino == above.st_ino,
                      f"{where}/{name}: its ..")
        return found
    with case.served("redirect_dir=on") as guest:
        before = numbers(guest)
        for path in ("d/top", "d/low", "d/both", "d/sub/f"):
            (guest / path).write_text("copied up\n")
        (guest / "d/sub").chmod(0o700)
        (guest / "other").rename(guest / "moved")
        case.settle(guest)
        now = numbers(guest)
        moved = {path.replace("other", "moved", 1)
                 if path.startswith("other") else path: number
                 for path, number in before.items()}
        check(now == moved, f"{now}\nand not {moved}")
    for _ in range(2):
        with case.served("redirect_dir=on") as guest:
            check(numbers(guest) == now, "others after a restart")
            (guest / "d/top").write_text("again\n")


def copy_up_needs_no_privilege_in_the_guest(space):
    """A user changes what is his, and nothing else."""
    case = Case(space)
    fill(case.lower, "home/f home/g home/trunc home/d/x root/f")
    for path in (case.lower / "home", *(case.lower / "home").rglob("*")):
        os.chown(path, USER, USER)

    def work(guest):
        home = guest / "home"
        fill(home, "f new")
        home.joinpath("g").chmod(0o600)
        os.truncate(home / "trunc", 10)
        home.joinpath("d").rename(home / "moved")
        os.setxattr(home / "f", "user.mine", b"x")
        home.joinpath("moved/x").unlink()
        refused(lambda: fill(guest, "root/f"), errno.EACCES)
        refused(lambda: fill(guest, "root/new"), errno.EACCES)
        refused(guest.joinpath("root/f").unlink, errno.EACCES)
        refused(lambda: os.chown(home / "f", 0, 0), errno.EPERM)
    with case.served("redirect_dir=on") as guest:
        as_user(USER, lambda: work(guest))
        seen = case.settle(guest)
        owners = {path.lstat().st_uid for path in case.upper.rglob("*")
                  if not path.is_char_device()}
        check(owners == {USER}, f"owners in upper: {owners}")
        check(not (case.upper / "root").exists(), "root's was copied up")
    case.check_end(seen)
