#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Stacks of layers made by hand: the guest sees what the kernel's overlay
shows, and serving without writing changes nothing in upper.

Each case is a function that fills layers; `l` has the lowers, topmost first,
and `u`, the upper, is there when the case asks for it. Cases that the kernel
fails on must be refused, with the path in the message.

    read_side.py [--type ext4] [CASE...]
"""
import argparse
import inspect
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import cases_merge  # noqa: E402
import cases_objects  # noqa: E402
import ovltest  # noqa: E402
from made_layer import Layer  # noqa: E402
from ovltest import Failure, Server, check, run, say  # noqa: E402
from treecmp import check_same, dump_dir, treedump  # noqa: E402


def cases_of(module):
    return [item for item in vars(module).values()
            if inspect.isfunction(item) and item.__module__ == module.__name__
            and list(inspect.signature(item).parameters)[:1] == ["l"]]


CASES = [*cases_of(cases_merge), *cases_of(cases_objects)]


class Stack:
    """The layers of one case, and the ways to look at them."""

    def __init__(self, space, case, fs_type):
        self.space, self.case, self.fs_type = space, case, fs_type
        wants = inspect.signature(case).parameters
        self.userxattr = getattr(case, "options", "") == "userxattr"
        self.lowers = [space.dir(f"lower{number}") for number in
                       range(1, 4 if "l3" in wants else 3)]
        self.upper = space.dir("upper") if "u" in wants else None
        arguments = {"l": [Layer(path) for path in self.lowers]}
        if "l3" in wants:
            arguments["l3"] = True
        if self.upper:
            arguments["u"] = Layer(self.upper)
        self.data = space.dir("data") if "d" in wants else None
        if self.data:
            arguments["d"] = Layer(self.data)
        case(**arguments)

    def below(self):
        """The lowers as they stand in lowerdir, where an empty name before
        the last makes it data-only."""
        return [*self.lowers, *(["", self.data] if self.data else [])]

    def kernel(self):
        options = getattr(self.case, "options", "")
        if not self.upper:
            with ovltest.overlay(self.space, self.below(),
                                 options=options) as mount:
                return dump_dir(mount)
        upper = ovltest.copy_tree(self.upper, self.space.path / "upper-copy")
        with ovltest.overlay(self.space, self.lowers, upper,
                             self.space.dir("work-copy"), options) as mount:
            return dump_dir(mount)

    def reader(self):
        upper = ["--upper", self.upper] if self.upper else []
        data = ["--data", self.data] if self.data else []
        family = ["--userxattr"] if self.userxattr else []
        return treedump("layers", *self.lowers, *upper, *data, *family)

    def parameters(self):
        yield "lowerdir=" + ":".join(map(str, self.below()))
        yield f"type={self.fs_type}"
        if self.userxattr:
            yield "userxattr=yes"
        if self.upper:
            yield f"upperdir={self.upper}"
            yield f"workdir={self.space.dir('work')}"

    def guest(self):
        """As mounted from the device; upper must come out as it went in."""
        before = dump_dir(self.upper) if self.upper else None
        with Server(self.space, *self.parameters()) as server:
            server.fsck()
            with server.mounted(self.fs_type, options="ro") as mount:
                seen = dump_dir(mount)
        if before:
            check_same(before, dump_dir(self.upper), "upper before",
                       "upper after", "nothing was written")
        return seen


def check_case(space, case, fs_type):
    stack = Stack(space, case, fs_type)
    expected = stack.kernel()
    check_same(expected, stack.reader(), "kernel overlay", "our reader")
    check_same(expected, stack.guest(), "kernel overlay", "guest")


def check_refused(space, case, fs_type):
    """The kernel fails on these as they are looked at; nbdkit at its start."""
    stack = Stack(space, case, fs_type)
    try:
        shown = stack.kernel()
    except Failure:
        shown = None
    check((shown is not None) == case.kernel_shows, f"kernel: {shown}")
    line = ovltest.refusal(*stack.parameters())
    say(f"    {line}")
    for text in case.says:
        check(text in line, f"it does not say \"{text}\"")


def check_overlay_as_lower(space, fs_type):
    """A mounted overlay is a directory like any other."""
    top, layers = space.dir("top"), [space.dir("a"), space.dir("b")]
    for number, layer in enumerate(layers):
        Layer(layer).file("d/both", f"{number}" * 5000)
        Layer(layer).file(f"d/only{number}", "x")
    Layer(layers[0]).whiteout("d/only1")
    Layer(top).file("d/new", "x")
    with ovltest.overlay(space, layers) as lower:
        with ovltest.overlay(space, [top, lower]) as mount:
            expected = dump_dir(mount)
        with Server(space, f"lowerdir={top}:{lower}",
                    f"type={fs_type}") as server:
            with server.mounted(fs_type, options="ro") as mount:
                check_same(expected, dump_dir(mount), "kernel overlay", "guest")


def check_upper_of_the_kernel(space, fs_type):
    """With all that the kernel notes in it: origin, impure, uuid, redirects,
    metacopy files, whiteouts that are one inode."""
    lower, upper = space.dir("lower"), space.dir("upper")
    layer = Layer(lower)
    for name in ("moved", "kept", "rebuilt"):
        layer.file(f"{name}/f", name * 3000)
        layer.file(f"{name}/sub/g", name)
        layer.xattr(f"{name}/f", "user.x", b"v")
    for number in range(4):
        layer.file(f"gone{number}", "x")
    layer.link("kept/f", "linked")
    options = "redirect_dir=on,metacopy=on,uuid=on,xino=on"
    with ovltest.overlay(space, [lower], upper, space.dir("work"),
                         options) as mount:
        (mount / "moved").rename(mount / "to")
        (mount / "to/sub").rename(mount / "kept/sub2")
        (mount / "to/f").chmod(0o600)
        (mount / "kept/new").write_text("new")
        (mount / "linked").write_text("parted from kept/f")
        for number in range(4):
            (mount / f"gone{number}").unlink()
        run("rm", "-r", mount / "rebuilt")
        (mount / "rebuilt").mkdir()
        expected = dump_dir(mount)
    stored = run("getfattr", "-Rhd", "-m", "overlay", "-e", "hex", upper)
    for name in ("origin", "impure", "uuid", "redirect", "metacopy",
                 "opaque"):
        check(f"overlay.{name}=" in stored, f"the kernel wrote no {name}")
    parameters = [f"lowerdir={lower}", f"type={fs_type}", f"upperdir={upper}",
                  f"workdir={space.dir('work')}"]
    with Server(space, *parameters) as server:
        server.fsck()
        with server.mounted(fs_type, options="ro") as mount:
            check_same(expected, dump_dir(mount), "kernel overlay", "guest")


def check_many_lowers(space, fs_type):
    layers = [Layer(space.dir(f"{number}")) for number in range(60)]
    for number, layer in enumerate(layers):
        layer.file(f"d/{number}", f"{number}")
        layer.file("d/all", f"{number}")
        if number > 2:
            layer.whiteout(f"d/{number + 1}")
    with ovltest.overlay(space, [layer.root for layer in layers]) as mount:
        expected = dump_dir(mount)
    lowers = ":".join(str(layer.root) for layer in layers)
    with Server(space, f"lowerdir={lowers}", f"type={fs_type}") as server:
        with server.mounted(fs_type, options="ro") as mount:
            check_same(expected, dump_dir(mount), "kernel overlay", "guest")


def test(space, chosen, fs_type):
    failed = []
    for whole in (check_overlay_as_lower, check_upper_of_the_kernel,
                  check_many_lowers) if not chosen else ():
        say(whole.__name__)
        with ovltest.Workspace(whole.__name__) as inner:
            whole(inner, fs_type)
    for case in CASES:
        if chosen and case.__name__ not in chosen:
            continue
        say(case.__name__)
        with ovltest.Workspace(case.__name__) as inner:
            try:
                (check_refused if hasattr(case, "says")
                 else check_case)(inner, case, fs_type)
            except Failure as failure:
                inner.failed = True
                failed.append(case.__name__)
                say(f"  {failure}")
    check(not failed, f"{len(failed)} cases: {' '.join(failed)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", default="ext2")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    ovltest.main(test, arguments.cases, arguments.type)
