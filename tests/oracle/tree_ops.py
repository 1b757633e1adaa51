# SPDX-License-Identifier: BSD-3-Clause
"""Random file operations, done in step on one tree or on two.

`live` is the tree under test (a mounted device, a kernel overlay); `plain`,
when there is one, is an ordinary directory that gets the same operations and
must answer each with the same errno. Afterwards the plain tree takes over the
times that live's kernel gave to what an operation touched, so that two trees
that are right are equal to the nanosecond.
"""
import errno
import os
import random
import stat
import struct

from ovltest import Failure

NAMES = ["a", "b", "c", "d", "e", "dir", "file", "x y", "\u00e9\u00df",
         ".hidden", "n" * 255, "Makefile", "-", "0", "new\nline", "z.tmp"]
USERS = [0, 1, 1000, 65534, 70000, 2**31 + 5]
SECONDS = [0, 1, -1, -2**31, 2**31 - 1, 2**31, 2**32, 1700000000, 2**33 + 77]
# Not blocking: the name may be a fifo by now.
WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK
XATTRS = ["user.a", "user.b", "user.long-name-of-an-attribute", "trusted.t",
          "security.s", "trusted.overlay.opaque", "trusted.overlay.redirect",
          "user.overlay.opaque", "trusted.overlay.overlay.opaque"]


def acl_bytes(rng, access_mode):
    """A POSIX ACL with one named user, as setxattr takes it."""
    def entry(tag, perm, ident=0xffffffff):
        return struct.pack("<HHI", tag, perm, ident)
    return struct.pack("<I", 2) + b"".join([
        entry(0x01, access_mode >> 6 & 7), entry(0x02, rng.randrange(8), 1234),
        entry(0x04, access_mode >> 3 & 7), entry(0x10, rng.randrange(8)),
        entry(0x20, access_mode & 7)])


class Tree:
    """What there is to work on: relative paths by kind, read from disk."""

    def __init__(self, root):
        self.dirs, self.files, self.others = [""], [], []
        pending = [""]
        while pending:
            where = pending.pop()
            with os.scandir(os.path.join(root, where)) as found:
                entries = sorted(found, key=lambda e: os.fsencode(e.name))
            for entry in entries:
                path = os.path.join(where, entry.name)
                if path == "lost+found":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    self.dirs.append(path)
                    pending.append(path)
                elif entry.is_file(follow_symlinks=False):
                    self.files.append(path)
                else:
                    self.others.append(path)

    def objects(self):
        return self.dirs[1:] + self.files + self.others

    def __len__(self):
        return len(self.dirs) + len(self.files) + len(self.others)


class Ops:
    LARGEST_TREE = 400
    LARGEST_FILE = 12 << 20

    def __init__(self, seed, live, plain=None):
        self.rng = random.Random(seed)
        self.live, self.plain = str(live), str(plain) if plain else None
        self.done = {}
        self.tree = Tree(self.live)

    def run(self, count):
        for number in range(count):
            if number % 8 == 0:
                self.tree = Tree(self.live)
            self.one()

    def one(self):
        names = list(WEIGHTS)
        name = self.rng.choices(names, [WEIGHTS[n] for n in names])[0]
        if len(self.tree) > self.LARGEST_TREE and self.rng.random() < 0.3:
            name = "remove_tree"
        getattr(self, name)()

    # Doing one thing in both trees.

    def do(self, what, *paths, touched=None):
        """what(*absolute paths) in both. `touched`: what gets new times, by
        default the paths and their directories."""
        outcome = self.attempt(what, self.live, paths)
        if self.plain and outcome != errno.EXDEV:
            expected = self.attempt(what, self.plain, paths)
            if outcome != expected:
                raise Failure(
                    f"{what.__name__} {paths}: the device says "
                    f"{name_of(outcome)}, a plain directory "
                    f"{name_of(expected)}")
            self.copy_times(touched if touched is not None else
                            [*paths, *map(os.path.dirname, paths)])
        key = (what.__name__, outcome == 0)
        self.done[key] = self.done.get(key, 0) + 1
        return outcome == 0

    @staticmethod
    def attempt(what, root, paths):
        try:
            what(*(os.path.join(root, path) for path in paths))
            return 0
        except OSError as error:
            return error.errno

    def copy_times(self, paths):
        for path in dict.fromkeys(paths):
            try:
                seen = os.lstat(os.path.join(self.live, path))
            except OSError:
                continue
            os.utime(os.path.join(self.plain, path),
                     ns=(seen.st_atime_ns, seen.st_mtime_ns),
                     follow_symlinks=False)

    # Choosing.

    def any_of(self, paths):
        return self.rng.choice(paths) if paths else None

    def new_path(self):
        parent = self.any_of(self.tree.dirs)
        if parent.count("/") > 8:
            parent = ""
        name = self.rng.choice(NAMES)
        if self.rng.random() < 0.3:
            name = f"f{self.rng.randrange(1000)}"
        return os.path.join(parent, name)

    def some_path(self):
        """A name that exists more often than not."""
        if self.rng.random() < 0.5:
            return self.any_of(self.tree.objects()) or self.new_path()
        return self.new_path()

    def data(self):
        size = self.rng.choice([0, 1, 10, 100, 4095, 4096, 4097, 20000, 70000])
        return self.rng.randbytes(size)

    # The operations.

    def create(self):
        data, mode = self.data(), self.rng.choice([0o644, 0o600, 0o4755])

        def create_file(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            fd = os.open(path, flags, mode)
            os.write(fd, data)
            os.close(fd)
        self.do(create_file, self.new_path())

    def write_some(self):
        if not self.tree.files:
            return
        data = self.data()
        place = self.rng.choice(["start", "middle", "end", "beyond", "far"])
        fraction, beyond = self.rng.random(), self.rng.randrange(200000)

        def write_file(path):
            size = os.lstat(path).st_size
            offset = {"start": 0, "middle": int(size * fraction), "end": size,
                      "beyond": size + beyond,
                      "far": max(size, 5 << 20) + beyond}[place]
            if offset > self.LARGEST_FILE:
                offset = 0
            fd = os.open(path, WRITE)
            os.pwrite(fd, data, offset)
            os.close(fd)
        self.do(write_file, self.any_of(self.tree.files))

    def append(self):
        if not self.tree.files:
            return
        data = self.data()

        def append_file(path):
            fd = os.open(path, WRITE | os.O_APPEND)
            os.write(fd, data)
            os.close(fd)
        self.do(append_file, self.any_of(self.tree.files))

    def truncate(self):
        if not self.tree.files:
            return
        factor = self.rng.choice([0, 0, 0.5, 0.9, 1, 1.1, 3])
        more = self.rng.choice([0, 0, 1, 4096, 100000])

        def truncate_file(path):
            size = int(os.lstat(path).st_size * factor) + more
            os.truncate(path, min(size, self.LARGEST_FILE))
        self.do(truncate_file, self.any_of(self.tree.files))

    def rename_any(self):
        source = self.any_of(self.tree.objects())
        if source is None:
            return
        target = self.some_path()
        self.do(os.rename, source, target,
                touched=[os.path.dirname(source), os.path.dirname(target),
                         target])

    def rename_dir(self):
        source = self.any_of(self.tree.dirs[1:])
        if source is None:
            return
        target = self.new_path()
        self.do(os.rename, source, target,
                touched=[os.path.dirname(source), os.path.dirname(target),
                         target])

    def rename_there_and_back(self):
        source = self.any_of(self.tree.objects())
        if source is None:
            return
        target = self.new_path() + ".away"
        parents = [os.path.dirname(source), os.path.dirname(target)]
        if self.do(os.rename, source, target, touched=parents):
            self.do(os.rename, target, source, touched=parents)

    def link(self):
        if not self.tree.files + self.tree.others:
            return
        source = self.any_of(self.tree.files + self.tree.others)

        def hard_link(old, new):
            os.link(old, new, follow_symlinks=False)
        target = self.new_path()
        self.do(hard_link, source, target,
                touched=[source, os.path.dirname(target)])

    def unlink(self):
        path = self.any_of(self.tree.files + self.tree.others)
        if path is not None:
            self.do(os.unlink, path, touched=[os.path.dirname(path)])

    def mkdir(self):
        mode = self.rng.choice([0o755, 0o755, 0o700, 0o2775, 0o1777])

        def make_dir(path):
            os.mkdir(path)
            os.chmod(path, mode)
        self.do(make_dir, self.new_path())

    def rmdir(self):
        path = self.any_of(self.tree.dirs[1:])
        if path is not None:
            self.do(os.rmdir, path, touched=[os.path.dirname(path)])

    def remove_tree(self, path=None):
        path = path or self.any_of(self.tree.dirs[1:])
        if path is None:
            return
        parent = os.path.dirname(path)
        self.do(remove_recursively, path, touched=[parent])
        self.tree = Tree(self.live)

    def rebuild_tree(self):
        """rm -rf, and the same name again with other things in it."""
        path = self.any_of(self.tree.dirs[1:])
        if path is None or path.count("/") > 3:
            return
        old = sorted(os.listdir(os.path.join(self.live, path))) \
            if os.path.isdir(os.path.join(self.live, path)) else []
        self.remove_tree(path)
        if not self.do(os.mkdir, path):
            return
        for name in old[:3] + ["rebuilt"]:
            kind = self.rng.choice([self.make_file_at, self.make_dir_at])
            kind(os.path.join(path, name))

    def make_file_at(self, path):
        data = self.data()

        def create_file(where):
            fd = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(fd, data)
            os.close(fd)
        self.do(create_file, path)

    def make_dir_at(self, path):
        self.do(os.mkdir, path)

    def replace_file(self):
        """What editors do: write a new file, rename it over the old one."""
        path = self.any_of(self.tree.files)
        if path is None:
            return
        new = os.path.join(os.path.dirname(path), "new.swp")
        self.make_file_at(new)
        self.do(os.rename, new, path,
                touched=[os.path.dirname(path), path])

    def symlink(self):
        target = self.rng.choice(["a", "/etc/passwd", "../b/c", "t" * 59,
                                  "t" * 60, "t" * 61, "l/" * 600, "x\ny"])

        def make_symlink(path):
            os.symlink(target, path)
        self.do(make_symlink, self.new_path())

    def chmod(self):
        path = self.any_of(self.tree.dirs + self.tree.files)
        mode = self.rng.choice([0o644, 0o755, 0o700, 0o4755, 0o2755, 0o1777,
                                0o777, 0o400, 0])
        if path in self.tree.dirs:
            mode |= 0o700

        def change_mode(where):
            os.chmod(where, mode)
        self.do(change_mode, path, touched=[])

    def chown(self):
        path = self.any_of(self.tree.objects())
        if path is None:
            return
        uid, gid = self.rng.choice(USERS), self.rng.choice(USERS)

        def change_owner(where):
            os.lchown(where, uid, gid)
        self.do(change_owner, path, touched=[])

    def utimens(self):
        path = self.any_of(self.tree.dirs + self.tree.objects())
        seconds = self.rng.choice(SECONDS)
        times = seconds * 10**9 + self.rng.randrange(10**9)

        def set_times(where):
            os.utime(where, ns=(times, times), follow_symlinks=False)
        self.do(set_times, path)

    def set_xattr(self):
        path = self.any_of(self.tree.dirs + self.tree.objects())
        name = self.rng.choice(XATTRS)
        value = self.rng.randbytes(self.rng.choice([0, 1, 8, 40, 300]))
        if name.endswith("opaque"):
            value = self.rng.choice([b"y", b"n"])

        def set_attribute(where):
            os.setxattr(where, name, value, follow_symlinks=False)
        self.do(set_attribute, path, touched=[])

    def set_acl(self):
        path = self.any_of(self.tree.dirs[1:] + self.tree.files)
        if path is None:
            return
        name = "system.posix_acl_access"
        if path in self.tree.dirs and self.rng.random() < 0.5:
            name = "system.posix_acl_default"
        value = acl_bytes(self.rng, 0o750)

        def set_acl_bytes(where):
            os.setxattr(where, name, value)
        self.do(set_acl_bytes, path, touched=[])

    def remove_xattr(self):
        path = self.any_of(self.tree.dirs + self.tree.objects())
        where = os.path.join(self.live, path)
        try:
            names = sorted(os.listxattr(where, follow_symlinks=False))
        except OSError:
            return
        name = self.any_of(names) or "user.none"

        def remove_attribute(where):
            os.removexattr(where, name, follow_symlinks=False)
        self.do(remove_attribute, path, touched=[])

    def mknod(self):
        mode, device = self.rng.choice([
            (stat.S_IFIFO, 0), (stat.S_IFSOCK, 0),
            (stat.S_IFCHR, os.makedev(1, 3)), (stat.S_IFBLK, 0),
            (stat.S_IFBLK, os.makedev(300, 70000)),
            (stat.S_IFCHR, os.makedev(0, 1))])

        def make_node(where):
            os.mknod(where, mode | 0o640, device)
        self.do(make_node, self.new_path())


def remove_recursively(path):
    with os.scandir(path) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                remove_recursively(entry.path)
            else:
                os.unlink(entry.path)
    os.rmdir(path)


def name_of(code):
    return errno.errorcode.get(code, "success") if code else "success"


WEIGHTS = {
    "create": 12, "write_some": 10, "append": 5, "truncate": 6,
    "rename_any": 8, "rename_dir": 6, "rename_there_and_back": 2, "link": 5,
    "unlink": 7, "mkdir": 8, "rmdir": 3, "remove_tree": 1, "rebuild_tree": 2,
    "replace_file": 4, "symlink": 4, "chmod": 4, "chown": 3, "utimens": 5,
    "set_xattr": 5, "set_acl": 2, "remove_xattr": 2, "mknod": 3,
}
