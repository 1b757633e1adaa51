# SPDX-License-Identifier: BSD-3-Clause
"""The lower layer of the decoding tests: some of all that an image can show."""
import os
import stat

import made_tree
from tree_ops import acl_bytes

MANY = 3000


def make(root, rng):
    root = str(root)
    made_tree.make(root)
    _make_attributes(root, rng)
    _make_shapes(root, rng)
    _make_large_directory(os.path.join(root, "many"))


def _make_attributes(root, rng):
    where = os.path.join(root, "attributes")
    os.mkdir(where)
    shared = rng.randbytes(700)
    for number in range(12):
        path = os.path.join(where, f"file{number}")
        with open(path, "wb") as file:
            file.write(rng.randbytes(number * 700))
        os.setxattr(path, "user.short", b"v%d" % number)
        if number % 3 == 0:  # does not fit the inode
            os.setxattr(path, "user.shared", shared)
        if number % 4 == 0:
            os.setxattr(path, "system.posix_acl_access",
                        acl_bytes(rng, 0o640))
        os.chown(path, number * 1000, 70000 + number)
    os.setxattr(where, "system.posix_acl_default", acl_bytes(rng, 0o750))


def _make_shapes(root, rng):
    where = os.path.join(root, "shapes")
    os.mkdir(where)
    for length in (1, 59, 60, 61, 1000):
        os.symlink("t" * length, os.path.join(where, f"link{length}"))
    os.mknod(os.path.join(where, "block"), stat.S_IFBLK | 0o600,
             os.makedev(300, 70000))
    with open(os.path.join(where, "sparse"), "wb") as file:
        for block in (0, 3, 4, 13, 1500):
            file.seek(block * 4096)
            file.write(rng.randbytes(4096 + block % 2 * 100))
        file.truncate(1600 * 4096)
    with open(os.path.join(where, "large"), "wb") as file:
        file.write(rng.randbytes(5 << 20))
    deep = where
    for depth in range(8):
        deep = os.path.join(deep, f"depth{depth}")
        os.mkdir(deep)
        with open(os.path.join(deep, "file"), "wb") as file:
            file.write(rng.randbytes(100 << depth))


def _make_large_directory(where):
    """Most names are links, so that looking at them all is quick."""
    os.mkdir(where)
    for number in range(MANY):
        path = os.path.join(where, f"name-of-file-{number}")
        first = os.path.join(where, f"name-of-file-{number % 40}")
        if number < 40:
            with open(path, "w") as file:
                file.write(str(number))
        else:
            os.link(first, path)
