#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Bad input is refused with one clear line that names the parameter and the
path, an exit status that is not 0, and nothing created on disk."""
import contextlib
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, check, run, say  # noqa: E402
from treecmp import check_same, treedump  # noqa: E402

NOBODY = 65534

# What is refused: name, parameters, what the line must say. {p} is the
# directory that make_places() filled.
GOOD = ["lowerdir={p}/lower"]
WRITABLE = [*GOOD, "upperdir={p}/upper", "workdir={p}/work"]
CASES = [
    ("no parameters", [], ["lowerdir"]),
    ("lower missing", ["lowerdir={p}/none"], ["lowerdir", "{p}/none"]),
    ("second lower missing", ["lowerdir={p}/lower:{p}/none"],
     ["lowerdir", "{p}/none"]),
    ("lower is a file", ["lowerdir={p}/file"], ["lowerdir", "{p}/file"]),
    ("lower is empty", ["lowerdir="], ["lowerdir"]),
    ("lower name is empty", ["lowerdir={p}/lower:"], ["lowerdir"]),
    ("too many colons", ["lowerdir={p}/lower:::{p}/lower2"], ["lowerdir"]),
    ("only data layers", ["lowerdir=::{p}/lower"], ["lowerdir"]),
    ("lower after a data layer",
     ["lowerdir={p}/lower::{p}/lower2:{p}/other"], ["lowerdir"]),
    ("data layer missing", ["lowerdir={p}/lower::{p}/none"],
     ["lowerdir", "{p}/none"]),
    ("upper missing", [*GOOD, "upperdir={p}/none", "workdir={p}/work"],
     ["upperdir", "{p}/none"]),
    ("upper is a file", [*GOOD, "upperdir={p}/file", "workdir={p}/work"],
     ["upperdir", "{p}/file"]),
    ("work missing", [*GOOD, "upperdir={p}/upper", "workdir={p}/none"],
     ["workdir", "{p}/none"]),
    ("work is a file", [*GOOD, "upperdir={p}/upper", "workdir={p}/file"],
     ["workdir", "{p}/file"]),
    ("upper without work", [*GOOD, "upperdir={p}/upper"],
     ["upperdir", "workdir"]),
    ("work without upper", [*GOOD, "workdir={p}/work"],
     ["upperdir", "workdir"]),
    ("upper inside lower",
     [*GOOD, "upperdir={p}/lower/sub", "workdir={p}/work"],
     ["upperdir", "{p}/lower/sub"]),
    ("lower inside upper",
     ["lowerdir={p}/upper/sub", "upperdir={p}/upper", "workdir={p}/work"],
     ["{p}/upper"]),
    ("upper is lower", [*GOOD, "upperdir={p}/lower", "workdir={p}/work"],
     ["upperdir", "{p}/lower"]),
    ("upper is work", [*GOOD, "upperdir={p}/upper", "workdir={p}/upper"],
     ["workdir", "{p}/upper"]),
    ("work inside upper",
     [*GOOD, "upperdir={p}/upper", "workdir={p}/upper/sub"],
     ["workdir", "{p}/upper/sub"]),
    ("upper inside work",
     [*GOOD, "upperdir={p}/work/sub", "workdir={p}/work"],
     ["{p}/work"]),
    ("work inside lower",
     [*GOOD, "upperdir={p}/upper", "workdir={p}/lower/sub"],
     ["workdir", "{p}/lower/sub"]),
    ("work on another file system",
     [*GOOD, "upperdir={p}/upper", "workdir={p}/other"],
     ["workdir", "{p}/other"]),
    ("size too small", [*WRITABLE, "size=64K"], ["size"]),
    ("size smaller than the tree", [*WRITABLE, "size=1M"], ["size"]),
    ("size is no number", [*WRITABLE, "size=many"], ["size", "many"]),
    ("size with a bad unit", [*WRITABLE, "size=10Q"], ["size", "10Q"]),
    ("size too large for 64 bits", [*WRITABLE, "size=99999999999G"],
     ["size", "99999999999G"]),
    ("size is negative", [*WRITABLE, "size=-5"], ["size", "-5"]),
    ("size is only a sign", [*WRITABLE, "size=+"], ["size"]),
    ("size beyond ext2", [*WRITABLE, "size=900T"], ["size"]),
    ("type unknown", [*WRITABLE, "type=xfs"], ["type", "xfs"]),
    ("label too long", [*WRITABLE, "label=12345678901234567"], ["label"]),
    ("uuid malformed", [*WRITABLE, "uuid=1234"], ["uuid", "1234"]),
    ("journal is no boolean", [*WRITABLE, "journal=perhaps"],
     ["journal", "perhaps"]),
    ("owner unknown", [*WRITABLE, "owner=me"], ["owner", "me"]),
    ("redirects with userxattr",
     [*WRITABLE, "redirect_dir=on", "userxattr=yes"], ["redirect_dir"]),
    ("key unknown", [*WRITABLE, "colour=blue"], ["colour"]),
]


@contextlib.contextmanager
def places(space):
    path = space.dir("places")
    for name in ("lower/sub", "lower2", "upper/sub", "work/sub", "other"):
        (path / name).mkdir(parents=True)
    (path / "file").write_text("x")
    (path / "lower" / "data").write_bytes(b"x" * (2 << 20))
    run("mount", "-t", "tmpfs", "tmpfs", path / "other")
    try:
        yield path
    finally:
        ovltest.unmount(path / "other")


def refuse(path, parameters, must_say, user=None):
    """Starts nbdkit; it must fail as the header of this file says."""
    fill = [p.format(p=path) for p in parameters]
    before = treedump("dir", path)
    line = ovltest.refusal(*fill, user=user)
    for text in must_say:
        check(text.format(p=path) in line,
              f"no \"{text.format(p=path)}\" in: {line}")
    check_same(before, treedump("dir", path), "before", "after",
               "something changed on disk")
    return line


def unreadable_layer(path):
    os.chmod(path / "lower2", 0o700)
    return refuse(path, ["lowerdir={p}/lower:{p}/lower2"],
                  ["lowerdir", "{p}/lower2"], NOBODY)


def unreadable_directory(path):
    (path / "lower2" / "secret").mkdir(mode=0o700)
    os.chmod(path / "lower2", 0o755)
    return refuse(path, ["lowerdir={p}/lower:{p}/lower2"],
                  ["lowerdir", "{p}/lower2/secret"], NOBODY)


def upper_mounted_by_the_kernel(space, path):
    # A mounted overlay makes work/work, so that is not "created by us".
    with ovltest.overlay(space, [path / "lower"], path / "upper",
                         path / "work"):
        return refuse(path, WRITABLE, ["upperdir", "{p}/upper"])


def left_by_the_kernel(space, path, option, must_say):
    """What a mount with `option` leaves in workdir is refused."""
    upper, work = path / f"u-{option}", path / f"w-{option}"
    for made in (upper, work, path / "linked"):
        made.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (path / "linked" / name).unlink(missing_ok=True)
    (path / "linked/one").write_text("x")
    os.link(path / "linked/one", path / "linked/two")
    with ovltest.overlay(space, [path / "linked"], upper, work,
                         option) as mount:
        (mount / "one").write_text("changed")
    return refuse(path, ["lowerdir={p}/linked", f"upperdir={upper}",
                         f"workdir={work}"], [f"workdir: {work}", *must_say])


def second_server(space, path):
    with Server(space, *(p.format(p=path) for p in WRITABLE)):
        return refuse(path, WRITABLE, ["workdir", "{p}/work"])


def test(space):
    failed = []

    def attempt(name, refusal, *arguments):
        try:
            say(f"{name}: {refusal(*arguments)}")
        except Failure as failure:
            failed.append(name)
            say(f"{name}: FAILED: {failure}")

    with places(space) as path:
        for name, parameters, must_say in CASES:
            attempt(name, refuse, path, parameters, must_say)
        attempt("layer unreadable", unreadable_layer, path)
        attempt("directory unreadable", unreadable_directory, path)
        attempt("index of the kernel", left_by_the_kernel, space, path,
                "index=on", ["/index: not empty", "to go on, remove it"])
        attempt("volatile mount", left_by_the_kernel, space, path, "volatile",
                ["/work/incompat/volatile: ", "to go on", "remove"])
        attempt("second server", second_server, space, path)
        attempt("upper is mounted by the kernel", upper_mounted_by_the_kernel,
                space, path)
    check(not failed, f"{len(failed)} cases: {', '.join(failed)}")


if __name__ == "__main__":
    ovltest.main(test)
