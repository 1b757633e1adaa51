#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What is mounted inside of a layer.

Root sees layers as the kernel's overlay does: without what is mounted in
them, before the start or after it. Without privilege what is under a mount
cannot be seen: it is an empty directory or file, with one warning, and what is
mounted there is never read.
"""
import contextlib
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Server, check, run  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402

USER = 1000
SECRET = "what is mounted there" * 500


@contextlib.contextmanager
def mount(*arguments):
    run("mount", *arguments)
    try:
        yield
    finally:
        ovltest.unmount(arguments[-1])


def make_layers(space):
    """Two layers with places to mount on."""
    top, below = space.dir("top"), space.dir("below")
    for layer in (top, below):
        for name in ("tmpfs", "bind", "plain"):
            (layer / "d" / name).mkdir(parents=True)
            (layer / "d" / name / f"of-{layer.name}").write_text(layer.name)
    for name in ("file", "device", "other"):
        (top / name).write_text(f"under {name}" * 1000)
    return top, below


@contextlib.contextmanager
def mounts(space, top):
    """A file system, a directory, a file and a device over names in `top`."""
    other = space.dir("elsewhere")
    (other / "f").write_text(SECRET)
    with mount("-t", "tmpfs", "-o", "mode=0751", "tmpfs", top / "d/tmpfs"), \
            mount("--bind", other, top / "d/bind"), \
            mount("--bind", other / "f", top / "file"), \
            mount("--bind", "/dev/null", top / "device"):
        (top / "d/tmpfs/f").write_text(SECRET)
        # It means something to overlayfs, but in a layer only.
        os.setxattr(top / "d/tmpfs", "trusted.overlay.opaque", b"y")
        yield


def seen_by_guest(server):
    with server.mounted(options="ro") as guest:
        return dump_dir(guest)


def seen_on(server):
    with server:
        return seen_by_guest(server)


def seen_by_kernel(space, layers):
    with ovltest.overlay(space, layers) as kernel:
        return dump_dir(kernel)


def check_as_root(space, top, below):
    """Also what is mounted only once the device is served."""
    with Server(space, f"lowerdir={top}:{below}") as server:
        with mount("-t", "tmpfs", "tmpfs", top / "d/plain"):
            check_same(seen_by_kernel(space, [top, below]),
                       seen_by_guest(server), "kernel overlay", "guest")
    check(server.log() == "", f"nbdkit said: {server.log()}")


def stand_ins(space, top):
    """`top` as it is without privilege: empty where something is mounted."""
    plain = space.dir("stand-ins")
    run("cp", "-a", "-T", top, plain)
    for name in ("tmpfs/f", "bind/f"):
        (plain / "d" / name).unlink()
    os.removexattr(plain / "d/tmpfs", "trusted.overlay.opaque")
    (plain / "device").unlink()
    for name in ("file", "device"):
        (plain / name).write_bytes(b"")
    for name in ("d/tmpfs", "d/bind", "file", "device", "."):
        there = (top / name).stat()
        os.chmod(plain / name, there.st_mode & 0o777)
        os.utime(plain / name, ns=(there.st_mtime_ns, there.st_mtime_ns))
    return plain


def check_warnings(log, top):
    for name in ("d/bind", "d/tmpfs", "device", "file"):
        lines = [line for line in log.splitlines()
                 if f"lowerdir: {top}/{name}: a mount point" in line]
        check(len(lines) == 1, f"not one warning of {name}:\n{log}")
    check(len(log.splitlines()) == 4, f"other lines:\n{log}")


def check_as_user(space, top, below):
    expected = seen_by_kernel(space, [stand_ins(space, top), below])
    with Server(space, f"lowerdir={top}:{below}", as_user=USER) as server:
        check_warnings(server.log(), top)
        check_same(expected, seen_by_guest(server), "expected", "guest")
        server.fsck()


def check_mounted_later_as_user(space, top):
    """What was shown and cannot be reached any more is an error."""
    with Server(space, f"lowerdir={top}", as_user=USER) as server, \
            mount("-t", "tmpfs", "tmpfs", top / "d/plain"):
        (top / "d/plain/of-top").write_text("new")
        with server.mounted(options="ro") as guest:
            try:
                data = (guest / "d/plain/of-top").read_bytes()
            except OSError:
                data = None
    check(data is None, f"a file under a new mount was read: {data}")
    check(server.log().count(f"{top}/d/plain/of-top") == 1,
          f"not told once:\n{server.log()}")


def check_in_upper(space):
    """The kernel writes under what is mounted in upper; we can not."""
    upper, work = space.dir("upper"), space.dir("work")
    (upper / "d").mkdir()
    parameters = [f"lowerdir={space.dir('below')}", f"upperdir={upper}",
                  f"workdir={work}"]
    with mount("-t", "tmpfs", "tmpfs", upper / "d"):
        check_same(seen_by_kernel(space, [upper, space.dir("below")]),
                   seen_on(Server(space, f"lowerdir={upper}", parameters[0])),
                   "kernel overlay", "guest")
        line = ovltest.refusal(*parameters)
        check(f"upperdir: {upper}: {upper}/d is a mount point" in line, line)
    check(not list(work.iterdir()), "something was made in workdir")


def check_root_directory(space):
    """lowerdir=/ of a system that is all mounts."""
    root = space.dir("root")
    for name in ("usr", "dev", "proc", "srv"):
        (root / name).mkdir()
        (root / name / "under-it").write_text("x")
    (root / "etc").mkdir()
    (root / "etc/hostname").write_text("small\n")
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    build = root / ovltest.PLUGIN.relative_to("/")
    build.parent.mkdir(parents=True)
    build.touch()
    served = space.dir("served")
    with mount("--bind", root, root), \
            mount("--bind", "/usr", root / "usr"), \
            mount("--bind", "/dev", root / "dev"), \
            mount("--bind", "/proc", root / "proc"), \
            mount("--bind", ovltest.PLUGIN, build), \
            mount("--bind", served, root / "srv"):
        nbdkit = ["nbdkit", "-f", "-U", "/srv/sock", "-P", "/srv/pid"]
        server = Server(space)
        server.command = ["chroot", root, *nbdkit, ovltest.PLUGIN,
                          "lowerdir=/"]
        server.where, server.socket = served, served / "sock"
        server.log_path = space.path / "root-log"
        with server:
            check_same(seen_by_kernel(space, [root]), seen_by_guest(server),
                       "kernel overlay", "guest")
        check(server.log() == "", f"nbdkit said: {server.log()}")


def test(space):
    # As on most systems: what is mounted reaches every copy of a mount.
    with mount("--bind", space.path, space.path):
        run("mount", "--make-shared", space.path)
        top, below = make_layers(space)
        with mounts(space, top):
            check_as_root(space, top, below)
            check_as_user(space, top, below)
            check_mounted_later_as_user(space, top)
        check_in_upper(space)
        check_root_directory(space)


if __name__ == "__main__":
    ovltest.main(test)
