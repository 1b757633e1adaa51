# SPDX-License-Identifier: BSD-3-Clause
"""The kernel and the initramfs that a virtual machine of the tests boots.

The kernel is Debian's package for virtual machines: ext4 is built into it,
virtio and nbd are modules. It is unpacked beneath the build folder, once, and
never installed. The initramfs is made from programs of this host and their
libraries, in a fraction of a second; so it is made for each machine, and is
never stale.
"""
import fcntl
import os
import pathlib
import re
import shutil
import stat
import subprocess

from ovltest import BUILD, Failure, run, say

CACHE = BUILD / "tests" / "vm"
KERNEL = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "nbd")
INIT = pathlib.Path(__file__).with_name("vm_init.sh")


class Unavailable(Exception):
    """What a machine needs is not on this host, nor to be had."""


class Kernel:
    """An unpacked kernel package."""

    def __init__(self, where):
        self.image = next(where.glob("boot/vmlinuz-*"))
        self.release = self.image.name.removeprefix("vmlinuz-")
        self._modules = {path.stem.replace("-", "_"): path for path in
                         where.glob(f"lib/modules/{self.release}/**/*.ko")}

    def modules(self, names):
        """These modules and what they depend on, in the order of loading."""
        found = []
        for name in names:
            path = self._modules[name]
            depends = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            needed = filter(None, depends[1].decode().split(","))
            found += [*self.modules(needed), path]
        return list(dict.fromkeys(found))


def _kernel_package():
    """The package that the name without a version depends on today."""
    # A host that has installed nothing of late may have no lists, or old ones.
    if os.geteuid() == 0:
        run("apt-get", "-q", "update")
    told = run("apt-cache", "depends", KERNEL)
    found = re.search(r"Depends: (linux-image-\S+)", told)
    if not found:
        raise Failure(f"apt-cache knows no {KERNEL}")
    return found[1]


def _unpack_kernel(target):
    """All of the package at once, or nothing."""
    fresh = target.with_name("unpacking")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        package = _kernel_package()
        say(f"downloading {package}")
        run("apt-get", "-q", "download", package, cwd=fresh)
        archive = next(fresh.glob("*.deb"))
        run("dpkg-deb", "-x", archive, fresh)
    except (Failure, OSError, StopIteration) as failure:
        raise Unavailable(f"cannot get a kernel: {failure}") from None
    archive.unlink()
    fresh.rename(target)


def kernel():
    """Debian's kernel; downloads it when this build folder has none."""
    unpacked = CACHE / "kernel"
    if not unpacked.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(CACHE / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not unpacked.exists():
                _unpack_kernel(unpacked)
    return Kernel(unpacked)


def find_program(name):
    """Where a program is, also for a user without /usr/sbin in PATH."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise Unavailable(f"{name} is not installed")
    return pathlib.Path(found)


def _libraries(program):
    """The paths at which a program looks for its libraries and its loader."""
    told = subprocess.run(["ldd", str(program)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return re.findall(r"(/\S+) \(0x", told.stdout)


class _Archive:
    """A cpio archive in the format of initramfs, written front to back."""

    def __init__(self, file):
        self._file = file
        self._directories = set()

    def add_file(self, path, content, permissions=0o755):
        for parent in reversed(pathlib.PurePath(path).parents[:-1]):
            if parent not in self._directories:
                self._directories.add(parent)
                self._add(str(parent), stat.S_IFDIR | 0o755)
        self._add(path, stat.S_IFREG | permissions, content)

    def end(self):
        self._add("TRAILER!!!", 0)

    def _add(self, path, mode, content=b""):
        name = path.encode() + b"\0"
        # ino mode uid gid nlink mtime size device:2 rdev:2 namesize check
        fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        self._write(b"070701" + b"".join(b"%08x" % field for field in fields)
                    + name)
        self._write(content)

    def _write(self, data):
        self._file.write(data + bytes(-len(data) % 4))


def make_initramfs(target, kernel_used, programs):
    """An initramfs of busybox, `programs` in /sbin, and modules."""
    contents = {"init": INIT, "bin/busybox": find_program("busybox")}
    for program in map(pathlib.Path, programs):
        contents[f"sbin/{program.name}"] = program
        for library in _libraries(program):
            contents[library.lstrip("/")] = pathlib.Path(library)
    modules = kernel_used.modules(MODULES)
    for module in modules:
        contents[f"modules/{module.name}"] = module
    with open(target, "wb") as file:
        archive = _Archive(file)
        for path, source in contents.items():
            archive.add_file(path, source.read_bytes())
        order = "\n".join(module.name for module in modules)
        archive.add_file("modules/order", order.encode())
        archive.end()
    return target
