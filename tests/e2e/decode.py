#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""`ovl decode WORKDIR`: what a kernel's guest committed, in the words of paths.

nbdkit is killed under a mounted guest, so the changes are in the journal for
the most part; then again after an unmount. A server at work is not disturbed.
"""
import contextlib
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, check, run, say  # noqa: E402

OVL = ovltest.BUILD / "ovl"


def make_lower(lower):
    for number in range(400):
        place = lower / f"d{number % 8}"
        place.mkdir(exist_ok=True)
        (place / f"f{number}").write_bytes(b"%d " % number * 3000)
    (lower / "d1" / "deep" / "er").mkdir(parents=True)
    (lower / "d1" / "deep" / "leaf").write_text("leaf")
    os.symlink("d1/deep/leaf", lower / "link")


def change(guest):
    (guest / "new").write_text("new in the guest\n")
    (guest / "d0" / "f0").unlink()
    (guest / "d1").rename(guest / "moved")
    with open(guest / "d2" / "f2", "r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    os.chmod(guest / "d3" / "f3", 0o600)
    os.link(guest / "d4" / "f4", guest / "hard")
    os.setxattr(guest / "d5" / "f5", "user.tag", b"value")
    os.mknod(guest / "tty", 0o20600, os.makedev(5, 300))
    os.mkdir(guest / "dir")
    os.symlink("x" * 100, guest / "dir" / "far")
    with open(guest / "d6" / "f6", "a") as file:
        file.truncate(100)


EXPECTED = {
    "A new": "100644 0:0 17 bytes",
    "D d0/f0": "",
    "R d1 => moved": "",
    "M d2/f2": "time content(",
    "M d3/f3": "mode",
    "A hard": "(link)",
    "M d5/f5": "xattrs",
    "A tty": "020600 0:0 5:300",
    "A dir": "040755",
    "A dir/far": "120777 0:0 -> xxx",
    "M d6/f6": "time content(100 bytes",
}


def decode(work):
    done = subprocess.run([OVL, "decode", work], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout, done.stderr


def check_expected(text):
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    # Directories whose names changed have another time, which is no news.
    lines = [line for line in lines if not (
        line.startswith("M ") and line.endswith(" time"))]
    for start, rest in EXPECTED.items():
        found = [line for line in lines
                 if line == start or line.startswith(start + " ")]
        check(len(found) == 1 and rest in found[0],
              f"'{start} ... {rest}' is not told once:\n{text}")
    check(len(lines) == len(EXPECTED), f"too many lines:\n{text}")


def story(space, fs_type):
    lower, upper, work = (space.dir(f"{name}-{fs_type}")
                          for name in ("lower", "upper", "work"))
    make_lower(lower)
    server = Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                    f"workdir={work}", f"type={fs_type}")
    status, text, _ = decode(work)
    check(status == 0 and "nothing was written" in text, text)
    server.start()
    with contextlib.suppress(Failure):
        with server.mounted() as guest:
            change(guest)
            run("sync", "-f", guest)
            meanwhile = decode(work)
            server.kill()
    check(meanwhile[0] == 1 and "in use by another server" in meanwhile[2],
          meanwhile)
    status, text, errors = decode(work)
    check(status == 0 and "in use" in text, text + errors)
    check_expected(text)
    server.start()
    with server.mounted():
        pass
    server.kill()
    status, text, errors = decode(work)
    check(status == 0 and "unmounted" in text, text + errors)
    check_expected(text)
    server.start()
    server.stop()
    status, text, errors = decode(work)
    check(status == 0 and "upper shows all of it" in text,
          text + errors + server.log())


def test(space):
    for fs_type in ("ext2", "ext4"):
        say(f"type={fs_type}")
        story(space, fs_type)


if __name__ == "__main__":
    ovltest.main(test)
