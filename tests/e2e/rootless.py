#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""nbdkit and guest without privilege: libext2fs over NBD writes, and upper is
right for our reader of layers and, where the test itself is root, for the
kernel's overlay with userxattr.

Run as root it runs nbdkit and the guest as user 1000; otherwise as itself,
without the kernel's part.
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from made_tree import make  # noqa: E402
from ovltest import Server, check, run, say  # noqa: E402
from treecmp import check_same, dump_dir, treedump  # noqa: E402

IS_ROOT = os.geteuid() == 0
USER = 1000 if IS_ROOT else None
NBD_GUEST = ovltest.BUILD / "tests" / "nbd_guest"

ROUNDS = [r"""
mkdir new 0755
mkdir new/deep 0700
write new/deep/file some\040text\012
create new/empty 0600
append lib/os-release more\012
pwrite bin/env 20000 inside
truncate share/common-licenses/GPL-2 100
truncate lib/sparse 20000000
punch share/common-licenses/GPL-3 0 2
chmod lib/d3 0700
utimens lib/d4/f4 -1000 999999999
setxattr lib/d5/f5 user.k v
setxattr lib/d6 user.overlay.opaque y
rmxattr lib/d2 user.mark
symlink target new/link
link lib/d7/f7 new/hard
link lib/d7/f7 lib/d8/hard
rename lib/d9 moved
rename lib/d10/f10 lib/d11/f11
unlink lib/linked
rmtree share/base-files
rmtree lib/d12
mkdir lib/d12 0755
write lib/d12/f12 again
mknod new/fifo p 0644
write new/r\012\303\251 odd\040name
""", r"""
rename moved lib/d9
rename new newer
unlink newer/hard
append lib/d8/hard through\040the\040other\040name
rmtree lib/d12
write lib/d12 a\040file\040now
unlink share/common-licenses/GPL-2
write share/common-licenses/GPL-2 new
rename share/doc lib/doc
rename lib/doc/bash share/doc
"""]

# What only the device shows, by path, after each: the host gives no such node
# to a server without privilege.
ROUNDS_WITH_NODES = [(r"""
mknod newer/disk b 0660 8 0
unlink lib/d8/hard
mknod lib/d8/hard c 0666 1 3
write newer/beside text
""", ["/newer/disk", "/lib/d8/hard"]), (r"""
chmod newer/disk 0600
rename newer/disk share/disk
rename newer newest
append newest/beside more
""", ["/share/disk", "/lib/d8/hard"]), (r"""
unlink share/disk
rmtree lib/d8
""", [])]


def guest(server, *command, script=None):
    uri = f"nbd+unix:///?socket={server.socket}"
    done = subprocess.run([NBD_GUEST, uri, *command], input=script, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(done.returncode == 0, f"nbd_guest: {done.stderr}")
    return done.stdout.splitlines()


def fsck(space, server):
    image = space.path / "image"
    run("nbdcopy", f"nbd+unix:///?socket={server.socket}", image)
    ovltest.fsck(image)
    image.unlink()


def without(lines, absent):
    return [line for line in lines if line.split(" ", 1)[0] not in absent]


def one_round(space, script, before=(), absent=()):
    lower, upper, work = (space.dir(name) for name in ("lower", "U", "W"))
    layers = ["layers", lower, "--upper", upper, "--userxattr", "--no-owner"]
    with Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                f"workdir={work}", "userxattr=yes", "owner=squash",
                "size=+100M", as_user=USER) as server:
        check_same(without(guest(server, "dump", "--no-owner"), before),
                   treedump(*layers), "guest", "our reader of layers",
                   "before")
        guest(server, script=script)
        seen = guest(server, "dump", "--no-owner")
        fsck(space, server)
    for line in server.log().splitlines():
        check(absent and "a node like this cannot be there" in line,
              f"nbdkit said: {line}")
    check(len(without(seen, absent)) == len(seen) - len(absent),
          "the device shows what upper cannot have")
    seen = without(seen, absent)
    check_same(seen, treedump(*layers), "guest", "our reader of layers")
    if IS_ROOT:
        with ovltest.overlay(space, [lower], upper,
                             options="userxattr") as mount:
            check_same(seen, dump_dir(mount, "--no-owner"), "guest",
                       "kernel overlay with userxattr")
    say(f"{len(seen)} objects")


def test(space):
    lower = space.dir("lower")
    if IS_ROOT:
        space.path.chmod(0o755)
        make(lower)
        for name in ("U", "W"):
            os.chown(space.dir(name), USER, USER)
        (lower / "lib" / "null").unlink()
    else:
        make(lower)
        say("not root: the kernel's overlay is not asked")
    for script in ROUNDS:
        one_round(space, script)
    before = []
    for script, absent in ROUNDS_WITH_NODES:
        one_round(space, script, before, absent)
        before = absent


if __name__ == "__main__":
    ovltest.main(test, needs_root=IS_ROOT)
