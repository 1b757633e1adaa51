# SPDX-License-Identifier: BSD-3-Clause
"""Random stacks of layers: made by hand, or by the kernel's own overlay."""
import os
import random
import stat

import ovltest
from ovltest import Failure
from tree_ops import NAMES, SECONDS, USERS, Ops, acl_bytes
from treecmp import dump_dir

FEW_NAMES = NAMES[:8]
# The ways to write an upper: what the kernel's mount is told, and nbdkit.
KERNEL = {"on": "redirect_dir=on", "off": "redirect_dir=off",
          "userxattr": "userxattr"}
NBDKIT = {"on": "redirect_dir=on", "off": "redirect_dir=off",
          "userxattr": "userxattr=yes"}


def reading(way):
    """What a read-only mount of layers written this way is told."""
    return "userxattr" if way == "userxattr" else ""


def family(way):
    return "user" if way == "userxattr" else "trusted"


class HandMade:
    """Fills one layer with random objects over the layers below it."""

    def __init__(self, seed, layer, is_lowest, way):
        self.rng = random.Random(seed)
        self.prefix = f"{family(way)}.overlay."
        self.layer, self.is_lowest = layer, is_lowest
        self.files = []

    def fill(self):
        self._directory(str(self.layer), 0)
        self._times(str(self.layer))

    def _directory(self, path, depth):
        count = self.rng.choice([0, 1, 3, 6]) if depth else 8
        names = self.rng.sample(FEW_NAMES, k=min(count, len(FEW_NAMES)))
        names += [f"n{self.rng.randrange(50)}" for _ in range(count // 2)]
        for name in dict.fromkeys(names):
            self._object(os.path.join(path, name), depth)

    def _object(self, path, depth):
        make = self.rng.choices(
            [self._make_dir, self._make_file, self._make_link,
             self._make_symlink, self._make_node, self._make_sparse,
             self._make_whiteout],
            [30 if depth < 4 else 0, 30, 6, 6, 4, 3,
             0 if self.is_lowest else 10])[0]
        make(path, depth)

    def _attributes(self, path):
        if self.rng.random() < 0.3:
            os.lchown(path, self.rng.choice(USERS), self.rng.choice(USERS))
        if self.rng.random() < 0.3:
            os.setxattr(path, "trusted.t", self.rng.randbytes(20),
                        follow_symlinks=False)
        if not os.path.islink(path) and self.rng.random() < 0.3:
            os.chmod(path, self.rng.choice([0o700, 0o2755, 0o1777, 0o4711]))
        if (os.path.isdir(path) or os.path.isfile(path)) \
                and not os.path.islink(path):
            self._more_attributes(path)
        self._times(path)

    def _more_attributes(self, path):
        if self.rng.random() < 0.2:
            os.setxattr(path, "user.a", self.rng.randbytes(100))
        if self.rng.random() < 0.1:
            os.setxattr(path, f"{self.prefix}overlay.opaque", b"y")
        if self.rng.random() < 0.1:
            os.setxattr(path, "system.posix_acl_access",
                        acl_bytes(self.rng, 0o750))

    def _times(self, path):
        when = self.rng.choice(SECONDS) * 10**9 + self.rng.randrange(10**9)
        os.utime(path, ns=(when, when), follow_symlinks=False)

    def _make_dir(self, path, depth):
        os.mkdir(path)
        if not self.is_lowest and self.rng.random() < 0.15:
            os.setxattr(path, f"{self.prefix}opaque",
                        self.rng.choice([b"y", b"y", b"n", b"yy"]))
        self._directory(path, depth + 1)
        self._attributes(path)

    def _make_file(self, path, _depth):
        size = self.rng.choice([0, 3, 4096, 5000, 100000, 300000])
        with open(path, "xb") as file:
            file.write(self.rng.randbytes(size))
        self._attributes(path)
        self.files.append(path)

    def _make_sparse(self, path, _depth):
        with open(path, "xb") as file:
            for _ in range(self.rng.randrange(4)):
                file.seek(self.rng.randrange(20 << 20))
                file.write(self.rng.randbytes(5000))
            file.truncate(max(file.tell(), self.rng.randrange(20 << 20)))
        self._attributes(path)
        self.files.append(path)

    def _make_link(self, path, depth):
        if not self.files:
            self._make_file(path, depth)
            return
        os.link(self.rng.choice(self.files), path)

    def _make_symlink(self, path, _depth):
        os.symlink(self.rng.choice(["a", "../x", "t" * 60, "u" * 200]), path)
        self._attributes(path)

    def _make_node(self, path, _depth):
        mode, device = self.rng.choice([
            (stat.S_IFIFO, 0), (stat.S_IFSOCK, 0),
            (stat.S_IFCHR, os.makedev(1, 3)),
            (stat.S_IFBLK, os.makedev(300, 70000))])
        os.mknod(path, mode | 0o600, device)
        self._attributes(path)

    def _make_whiteout(self, path, _depth):
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def kernel_ops(space, seed, lowers, upper, way, count):
    """Random operations through a kernel overlay of lowers and upper."""
    work = space.fresh("kernel-work")
    with ovltest.overlay(space, lowers, upper, work, KERNEL[way]) as mount:
        Ops(seed, mount).run(count)


def _make_layer(space, rng, made, way):
    layer = space.fresh("layer")
    seed = rng.getrandbits(32)
    if made and rng.random() < 0.4:
        if way != "userxattr":
            way = rng.choice(["on", "off"])
        kernel_ops(space, seed, made, layer, way, 60)
    else:
        HandMade(seed, layer, not made, way).fill()
    return layer


def make_lowers(space, seed, way):
    """1 to 3 layers, topmost first, that the kernel can read all of."""
    rng = random.Random(seed)
    while True:
        made = []
        for _ in range(rng.randrange(1, 4)):
            made.insert(0, _make_layer(space, rng, made, way))
        try:
            with ovltest.overlay(space, made, options=reading(way)) as mount:
                dump_dir(mount, "--no-content")
            return made
        except Failure as failure:
            ovltest.say(f"  another stack, the kernel refuses this: {failure}")
