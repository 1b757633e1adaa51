# SPDX-License-Identifier: BSD-3-Clause
"""What the decoding tests do to a mounted file system: all that a kernel can
bring about in one. Each load is a method of Loads; `commits` brings the
journal to commit all the while, so that there are many states to look at.
"""
import contextlib
import mmap
import os
import random
import stat
import subprocess
import threading

import kernel_calls as kernel
from tree_ops import Ops, acl_bytes, remove_recursively

BLOCK = 4096


def write(path, data, offset=0, flags=os.O_CREAT):
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        os.pwrite(fd, data, offset)
    finally:
        os.close(fd)


@contextlib.contextmanager
def opened(path, flags=os.O_RDWR | os.O_CREAT, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def commits(root, seed, seconds):
    """Until the end of the block the journal commits every so many seconds on
    average; sometimes all data is written, too."""
    rng, done = random.Random(seed), threading.Event()

    def work():
        while not done.wait(rng.uniform(0, 2 * seconds)):
            if rng.random() < 0.2:
                kernel.sync_fs(root)
                continue
            with opened(root, os.O_RDONLY) as fd:
                os.fsync(fd)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


class Loads:
    def __init__(self, root, seed, scale=1.0):
        self.root, self.rng, self.scale = str(root), random.Random(seed), scale
        self.has_extents = None

    def count(self, number):
        return max(1, int(number * self.scale))

    def at(self, *names):
        return os.path.join(self.root, *map(str, names))

    def fresh(self, name):
        """A new directory, whatever there was under that name."""
        where = self.at(name)
        self.remove(where)
        os.mkdir(where)
        return where

    def data(self, *sizes):
        return self.rng.randbytes(self.rng.choice(
            sizes or (0, 1, 100, 4095, 4096, 4097, 20000, 70000)))

    # The loads.

    def unpack_and_link(self):
        """untar, cp -al, rm -rf."""
        where = self.fresh("unpacked")
        packed = subprocess.run(
            ["tar", "-C", self.root, "-c", "lib", "share", "attributes",
             "--xattrs"], stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["tar", "-C", where, "-x", "--xattrs",
                        "--xattrs-include=*", "--warning=no-timestamp"],
                       input=packed, check=True)
        linked = self.at("linked")
        subprocess.run(["cp", "-al", where, linked], check=True)
        remove_recursively(os.path.join(where, "lib"))
        subprocess.run(["cp", "-a", os.path.join(linked, "share"),
                        os.path.join(where, "copied")], check=True)
        remove_recursively(linked)
        remove_recursively(where)

    def renames(self):
        """Chains, cycles, and directories with what is below them."""
        where = self.fresh("renames")
        names = [os.path.join(where, f"n{number}") for number in range(30)]
        for number, name in enumerate(names):
            if number % 3 == 0:
                os.makedirs(os.path.join(name, "below", "deep"))
                write(os.path.join(name, "below", "file"), self.data())
            else:
                write(name, self.data(0, 10, 5000))
        for _ in range(self.count(300)):
            self.rename_one(names)
        for name in self.rng.sample(names, 20):
            self.remove(name)

    def rename_one(self, names):
        one, other = self.rng.sample(names, 2)
        below = os.path.join(other, "below", self.rng.choice("abc"))
        with contextlib.suppress(OSError):  # into itself, not empty, gone
            match self.rng.randrange(5):
                case 0 | 1:
                    kernel.exchange(one, other)
                case 2:
                    kernel.exchange(one, os.path.join(other, "below"))
                case 3:
                    os.rename(one, other)
                case 4:
                    os.rename(one, below)
        if not os.path.lexists(one):
            write(one, self.data(0, 10))

    def remove(self, path):
        if not os.path.lexists(path):
            return
        if os.path.isdir(path) and not os.path.islink(path):
            remove_recursively(path)
        else:
            os.unlink(path)

    def sync_loop(self):
        """Small writes, each synced."""
        where = self.fresh("synced")
        for number in range(self.count(50)):
            path = os.path.join(where, f"f{number % 7}")
            with opened(path) as fd:
                os.pwrite(fd, self.data(1, 100, 4096, 9000),
                          self.rng.randrange(3) * 3000)
                os.fsync(fd) if number % 2 else os.fdatasync(fd)
            if number % 5 == 4:
                os.rename(path, os.path.join(where, f"g{number % 3}"))

    def allocate(self):
        """fallocate in all its modes, on blocks and between them."""
        where = self.fresh("allocated")
        extents = False
        for number in range(self.count(14)):
            with opened(os.path.join(where, f"f{number % 6}")) as fd:
                os.pwrite(fd, self.rng.randbytes(40 * BLOCK), 0)
                if self.rng.random() < 0.6:
                    os.fsync(fd)
                for _ in range(4):
                    extents |= self.allocate_one(fd)
                if self.rng.random() < 0.5:
                    os.ftruncate(fd, self.rng.randrange(60 * BLOCK))
        self.has_extents = extents

    def allocate_one(self, fd):
        first, count = self.rng.randrange(20), self.rng.randrange(1, 12)
        unaligned = self.rng.choice([0, 0, 100, 4000])
        mode = self.rng.choice([
            0, kernel.KEEP_SIZE, kernel.PUNCH_HOLE, kernel.PUNCH_HOLE,
            kernel.ZERO, kernel.COLLAPSE, kernel.INSERT])
        if mode in (kernel.COLLAPSE, kernel.INSERT):
            unaligned = 0
            if os.fstat(fd).st_size <= (first + count) * BLOCK:
                return False
        else:
            first += self.rng.choice([0, 0, 30, 1000])
        return kernel.fallocate(fd, mode, first * BLOCK + unaligned,
                                count * BLOCK) and mode != kernel.PUNCH_HOLE

    def swap(self):
        """Two files exchange some of their blocks."""
        where = self.fresh("swapped")
        for number in range(self.count(5)):
            paths = [os.path.join(where, f"{side}{number % 3}")
                     for side in ("one", "other")]
            with opened(paths[0]) as one, opened(paths[1]) as other:
                for fd in (one, other):
                    os.pwrite(fd, self.rng.randbytes(32 * BLOCK), 0)
                    os.fsync(fd)
                first = self.rng.randrange(20)
                kernel.swap_extents(one, other, first,
                                    self.rng.randrange(1, 12))

    def map_and_write(self):
        """Writes through memory, into old files and new ones."""
        where = self.fresh("mapped")
        paths = [os.path.join(where, "new"), self.at("shapes", "large"),
                 self.at("shapes", "sparse")]
        with opened(paths[0]) as fd:
            os.ftruncate(fd, 300_000)
        for path in paths:
            with opened(path, os.O_RDWR) as fd, mmap.mmap(fd, 0) as mapped:
                for number in range(self.count(12)):
                    at = self.rng.randrange(len(mapped) - 5000)
                    mapped[at:at + 3000] = self.rng.randbytes(3000)
                    if number % 4 == 3:
                        mapped.flush()

    def open_without_name(self):
        """Files that are open and have no name: not any more, or not yet."""
        where = self.fresh("nameless")
        with contextlib.ExitStack() as stack:
            fds = []
            for number in range(self.count(8)):
                path = os.path.join(where, f"f{number}")
                fd = stack.enter_context(opened(path))
                os.write(fd, self.data(100, 9000, 70000))
                os.fsync(fd)
                os.unlink(path)
                fds.append(fd)
            for number in range(self.count(8)):
                fd = stack.enter_context(opened(where,
                                                os.O_TMPFILE | os.O_RDWR))
                os.setxattr(fd, "user.new", b"x" * self.rng.choice((4, 900)))
                os.write(fd, self.data(0, 100, 9000))
                fds.append(fd)
                if number % 3:
                    os.fsync(fd)
                    kernel.link_open(
                        fd, os.path.join(where, f"linked{number}"))
            for fd in fds:
                os.pwrite(fd, self.data(10, 5000),
                          self.rng.choice((0, 4090, 50_000)))
                if self.rng.random() < 0.4:
                    os.fsync(fd)
        gone = os.path.join(where, "directory")
        os.mkdir(gone)
        with opened(gone, os.O_RDONLY) as fd:
            os.rmdir(gone)
            os.fsync(fd)

    def attributes(self):
        """In the inode, in a block, in a block that others share; ACLs."""
        where = self.fresh("attributed")
        shared = [{f"user.{name}": self.rng.randbytes(300) for name in "abcdef"}
                  for _ in range(2)]
        paths = [self.at("attributes", f"file{n}") for n in range(12)]
        for number in range(self.count(16)):
            paths.append(os.path.join(where, f"f{number}"))
            write(paths[-1], self.data(0, 10))
            if number % 4 == 0:
                os.unlink(paths[-1])
                os.mkdir(paths[-1])
        for number in range(self.count(120)):
            self.change_attributes(self.rng.choice(paths), shared)
            if number % 30 == 0:
                kernel.sync_fs(self.root)

    def change_attributes(self, path, shared):
        match self.rng.randrange(7):
            case 0 | 1:
                for name, value in self.rng.choice(shared).items():
                    os.setxattr(path, name, value)
            case 2:
                os.setxattr(path, self.rng.choice(
                    ("user.s", "trusted.t", "security.x",
                     "trusted.overlay.opaque", "user.overlay.whiteout")),
                    self.data(0, 5, 60))
            case 3:
                names = os.listxattr(path)
                if names:
                    os.removexattr(path, self.rng.choice(names))
            case 4:
                kind = self.rng.choice(("access", "default")) \
                    if os.path.isdir(path) else "access"
                os.setxattr(path, f"system.posix_acl_{kind}",
                            acl_bytes(self.rng, 0o750))
            case 5:
                os.chmod(path, self.rng.choice((0o700, 0o4755, 0o1777)))
                os.chown(path, self.rng.choice((0, 70000, 2**31 + 5)), 5)
            case 6:
                when = self.rng.choice((0, -1, 2**31, 2**33 + 7)) * 10**9
                when += self.rng.randrange(10**9)
                os.utime(path, ns=(when, when))

    def flags(self):
        """chattr +i and +a, which keep some things from being done; +A, +S."""
        where = self.fresh("flagged")
        for number in range(self.count(6)):
            path = os.path.join(where, f"f{number}")
            write(path, self.data(10, 5000))
            flag = (kernel.IMMUTABLE, kernel.APPEND_ONLY)[number % 2]
            kernel.change_flags(path, on=flag)
            if flag == kernel.APPEND_ONLY:
                write(path, self.data(100), flags=os.O_APPEND)
            kernel.sync_fs(self.root)
            if number % 3:
                kernel.change_flags(path, off=flag)
        for path in (where, self.at("attributes"), self.at("shapes", "large"),
                     os.path.join(where, "f2")):
            kernel.change_flags(path, on=self.rng.choice(
                (kernel.NO_ATIME, kernel.SYNCHRONOUS)),
                off=kernel.IMMUTABLE | kernel.NO_ATIME)
        kernel.change_flags(where, on=kernel.APPEND_ONLY)
        write(os.path.join(where, "more"), b"m")
        kernel.sync_fs(self.root)
        kernel.change_flags(where, off=kernel.APPEND_ONLY)
        for number in range(0, self.count(6), 3):
            kernel.change_flags(os.path.join(where, f"f{number}"),
                                off=kernel.IMMUTABLE | kernel.APPEND_ONLY)

    def nodes(self):
        """Devices in both encodings, the whiteouts' number, symlinks."""
        where = self.fresh("nodes")
        for number in range(self.count(24)):
            path = os.path.join(where, f"n{number % 16}")
            self.remove(path)
            kind, major, minor = self.rng.choice((
                (stat.S_IFCHR, 0, 0), (stat.S_IFCHR, 1, 3),
                (stat.S_IFBLK, 255, 255), (stat.S_IFBLK, 256, 1),
                (stat.S_IFCHR, 4000, 1_000_000), (stat.S_IFIFO, 0, 0),
                (stat.S_IFSOCK, 0, 0), (stat.S_IFLNK, 0, 0)))
            if kind == stat.S_IFLNK:
                os.symlink("t" * self.rng.choice((1, 59, 60, 61, 2000)), path)
            else:
                os.mknod(path, kind | 0o640, os.makedev(major, minor))
            if number % 8 == 7:
                kernel.sync_fs(self.root)

    def sizes(self):
        """Truncation both ways, tails, holes, writes behind the end."""
        where = self.fresh("sizes")
        for number in range(self.count(24)):
            with opened(os.path.join(where, f"f{number % 8}")) as fd:
                os.pwrite(fd, self.data(), self.rng.choice(
                    (0, 1, 4000, 60_000, 5 << 20)))
                if number % 3 == 0:
                    kernel.sync_range(fd)
                os.ftruncate(fd, self.rng.choice(
                    (0, 1, 4095, 4096, 4097, 50_001, 6 << 20)))
                if number % 4 == 0:
                    os.fsync(fd)
                os.pwrite(fd, self.data(1, 100), self.rng.randrange(70_000))
        self.grow_tails(where)

    def grow_tails(self, where):
        """The data of a tail is on the device before the size that shows it,
        and is not written again."""
        for number in range(self.count(6)):
            path = os.path.join(where, f"tail{number}")
            write(path, self.data(100))
            kernel.sync_fs(self.root)
            with opened(path, os.O_WRONLY | os.O_APPEND) as fd:
                os.write(fd, self.data(50))
                kernel.sync_range(fd)
                self.touch_something(number)
                os.fsync(fd)

    def touch_something(self, number):
        """A commit without the file in question."""
        path = self.at("sizes", f"other{number}")
        with opened(path) as fd:
            os.fsync(fd)

    def overwrite(self):
        """Data in place, long before the inode; also of the layers' files."""
        paths = [self.at("shapes", "large"), self.at("shapes", "sparse"),
                 *(self.at("lib", f"d{n}", f"f{n + 20}") for n in range(8))]
        paths = list(filter(os.path.exists, paths))  # lib is moved about
        for number in range(self.count(20)):
            with opened(self.rng.choice(paths), os.O_WRONLY) as fd:
                size = os.fstat(fd).st_size
                os.pwrite(fd, self.data(1, 100, 5000),
                          self.rng.randrange(max(1, size)))
                kernel.sync_range(fd)
                if number % 6 == 5:
                    os.fsync(fd)

    def reuse_inodes(self):
        """Numbers come back as something else."""
        where = self.fresh("reused")
        for turn in range(self.count(5)):
            for number in range(40):
                path = os.path.join(where, f"f{number}")
                match (turn + number) % 4:
                    case 0:
                        os.mkdir(path)
                        write(os.path.join(path, "in"), b"in")
                    case 1:
                        os.symlink("s" * 70, path)
                    case _:
                        write(path, self.data(0, 10, 5000))
            if turn % 2:
                kernel.sync_fs(self.root)
            remove_recursively(where)
            if turn % 3 == 2:
                kernel.sync_fs(self.root)
            os.mkdir(where)

    def links(self):
        where = self.fresh("links")
        write(os.path.join(where, "first"), self.data(9000))
        for number in range(self.count(40)):
            names = sorted(os.listdir(where))
            os.link(os.path.join(where, self.rng.choice(names)),
                    os.path.join(self.rng.choice((where, self.root)),
                                 f"link{number}"))
            if number % 3 == 2:
                os.unlink(os.path.join(where, self.rng.choice(names)))
                write(os.path.join(where, "first"), b"again")
        for number in range(self.count(40)):
            self.remove(self.at(f"link{number}"))

    def large_directories(self):
        """One grows a tree of hashes, one has it already, one shrinks."""
        where = self.fresh("grown")
        for number in range(self.count(500)):
            os.mkdir(os.path.join(where, f"d{number}" + "x" * 60)) \
                if number % 50 == 0 else \
                write(os.path.join(where, f"f{number}" + "x" * 60), b"")
        old = sorted(os.listdir(self.at("many")))
        for name in self.rng.sample(old, min(len(old), self.count(150))):
            os.unlink(self.at("many", name))
        for number in range(self.count(150)):
            write(self.at("many", f"new-name-{self.rng.randrange(10**6)}"),
                  self.data(0, 5))
        kernel.sync_fs(self.root)
        remove_recursively(where)

    def move_base(self):
        """What was in the image from the start gets other names."""
        for number in range(self.count(6)):
            moved = self.at(f"moved{number}")
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.at("lib", f"d{number}"), moved)
                kernel.exchange(moved, self.at("lib", f"d{number + 8}"))
            if number % 2:
                kernel.sync_fs(self.root)
                with contextlib.suppress(FileNotFoundError):
                    os.rename(moved, self.at("share", f"again{number}"))

    def anything(self):
        """Operations at random; the device is small."""
        ops = Ops(self.rng.getrandbits(32), self.at("share"))
        ops.LARGEST_FILE = 1 << 20
        ops.run(self.count(150))

    def fill(self):
        """More than the journal holds, so that it goes around."""
        where = self.fresh("filled")
        for number in range(self.count(12)):
            for part in range(12):
                write(os.path.join(where, f"f{number}.{part}"),
                      self.data(4096, 70000))
            kernel.sync_fs(self.root)
        remove_recursively(where)


ALL = [
    "unpack_and_link", "renames", "sync_loop", "allocate", "swap",
    "map_and_write", "open_without_name", "attributes", "flags", "nodes",
    "sizes", "overwrite", "reuse_inodes", "links", "large_directories",
    "move_base", "anything", "fill",
]


def run(root, names, seed, scale=1.0):
    """Carries loads out while the journal commits. Returns the Loads."""
    # What a power cut left with such flags could not be removed.
    subprocess.run(["chattr", "-R", "-f", "-ia", root], check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    loads = Loads(root, seed, scale)
    with commits(root, loads.rng.getrandbits(32), 0.05):
        for name in names:
            getattr(loads, name)()
    return loads
