# SPDX-License-Identifier: BSD-3-Clause
"""All cases of conformance.py in one stack of layers, a directory each."""
import functools
import os
import pathlib
import time

import ovltest
from ovltest import Failure, Server, check, run, say
from treecmp import check_same, dump_dir
from written_case import UpperText, shell

SECONDS = 60
# What the kernel notes on an upper that it looks at.
NOTES = ("origin", "impure", "uuid")


class Stack:
    """Upper has what it begins with before the device is laid out, and all is
    written at the end, by the planner of whole trees."""

    name = "whole tree"
    debug = ("check", "whole")
    parameters = ()
    family = "trusted.overlay."
    user = None
    kernel_options = ""
    dump_options = ()

    def __init__(self, space, cases, redirect="on", fs_type="ext2"):
        self.space, self.redirect, self.fs_type = space, redirect, fs_type
        self.cases = {f"case{number}": case for number, case
                      in enumerate(cases) if self.takes(case)}
        self.layers = {name: space.dir(name) for name in ("L1", "L2", "U")}
        self.work = space.dir("W")
        for place, case in self.cases.items():
            self.set_up(place, case)
        self.begin_upper()
        self.give_to_user()

    @staticmethod
    def takes(case):
        return True

    def __str__(self):
        return f"{self.name}, redirect_dir={self.redirect}, {self.fs_type}"

    @property
    def upper(self):
        return self.layers["U"]

    @property
    def lowers(self):
        return [self.layers["L1"], self.layers["L2"]]

    def set_up(self, place, case):
        where = self.space.dir(f"setup-{place}")
        for name in ("L1", "L2"):
            (self.layers[name] / place).mkdir()
            (where / name).symlink_to(self.layers[name] / place)
        shell(where, case.lower.replace("{case}", place))
        if case.start:
            self.begin(place, case)

    def begin(self, place, case):
        (self.upper / place).mkdir()
        shell(self.upper / place, case.start)

    def begin_upper(self):
        (self.upper / "there").write_text("from the beginning")

    def give_to_user(self):
        for path in (*self.layers.values(), self.work) if self.user else ():
            run("chown", "-hR", f"{self.user}:{self.user}", path)

    def server(self, upper, work):
        return Server(self.space, f"lowerdir={':'.join(map(str, self.lowers))}",
                      f"upperdir={upper}", f"workdir={work}",
                      f"redirect_dir={self.redirect}", f"type={self.fs_type}",
                      "size=+1G", *self.parameters,
                      options=[word for flag in self.debug
                               for word in ("-D", f"ovl.{flag}=1")],
                      as_user=self.user)

    def dump(self, top):
        return dump_dir(top, *self.dump_options)

    # The guest's part.

    def start(self, guest):
        """Upper has it already."""

    def step(self, guest, number):
        for place, case in self.cases.items():
            for change in case.steps()[number:number + 1]:
                shell(guest / place, change)

    def most_steps(self):
        return max(len(case.steps()) for case in self.cases.values())

    def operate(self, guest):
        self.start(guest)
        for place, case in self.cases.items():
            for change in case.steps():
                shell(guest / place, change)

    def runs(self):
        """What the guest does in each run of nbdkit."""
        yield self.operate

    def serve(self, operate):
        """One run of nbdkit; what the guest saw last."""
        with self.server(self.upper, self.work) as server:
            with server.mounted("ext4") as guest:
                operate(guest)
                seen = self.dump(guest)
            server.fsck()
        check(not server.log(), "nbdkit said:\n" + server.explain())
        return seen

    def run(self):
        """Everything; the failed cases."""
        for operate in self.runs():
            seen = self.serve(operate)
        failed = self.judge()
        self.compare(seen)
        say(f"{self}: {len(self.cases) - len(failed)} cases")
        return failed

    # What upper is then.

    def allowed(self, case):
        return [case.expected(self.redirect)]

    def differing(self, at_rest=True):
        """Places, with what upper has there in lines."""
        for place, case in self.cases.items():
            text = UpperText(self.upper / place, self.family)
            found = text.lines(at_rest)
            if found not in self.allowed(case):
                yield place, found

    def judge(self, at_rest=True):
        failed = dict(self.differing(at_rest))
        for place, found in failed.items():
            case = self.cases[place]
            say(f"{self}: {case}: FAILED\n"
                f"  expected {self.allowed(case)}\n"
                f"  found    {found}")
        for place, case in self.cases.items():
            if place not in failed and case.then:
                try:
                    shell(self.upper / place, case.then)
                except Failure as failure:
                    failed[place] = failure
                    say(f"{self}: {case}: FAILED\n  {failure}")
        return [self.cases[place] for place in failed]

    def compare(self, seen):
        """The kernel shows what the guest saw, adds only its notes to upper,
        and of that we show the same again."""
        upper = ovltest.copy_tree(self.upper, self.space.path / "copy")
        work = self.space.dir("copy-work")
        before = self.stored(upper)
        options = self.kernel_options or f"redirect_dir={self.redirect}"
        with ovltest.overlay(self.space, self.lowers, upper, work,
                             options) as mount:
            check_same(self.dump(mount), seen, "kernel overlay", "guest",
                       str(self))
        after = self.stored(upper)
        changed = [str(path) for path in before.keys() | after.keys()
                   if before.get(path) != after.get(path)]
        check(not changed, f"{self}: the kernel changed {changed}")
        with self.server(upper, work) as server:
            with server.mounted(options="ro") as guest:
                check_same(self.dump(guest), seen, "served anew", "guest",
                           str(self))

    def stored(self, top):
        """All that is stored in a directory, but for the kernel's notes."""
        found = {}
        for where, dirs, files in os.walk(top):
            for path in (pathlib.Path(where) / name for name in dirs + files):
                st = os.lstat(path)
                found[path] = [st.st_mode, st.st_uid, st.st_gid, st.st_rdev,
                               st.st_size, st.st_mtime_ns] + sorted(
                    (name, os.getxattr(path, name, follow_symlinks=False))
                    for name in os.listxattr(path, follow_symlinks=False)
                    if name.removeprefix(self.family) not in NOTES)
        return found


class Live(Stack):
    """Upper is empty at first, the guest makes what it begins with, and upper
    follows every second."""

    debug = ("check",)
    name = "checkpoints"
    parameters = ("checkpoint=1",)

    @staticmethod
    def takes(case):
        return not case.by_hand

    def begin_upper(self):
        pass

    def begin(self, place, case):
        pass

    def allowed(self, case):
        # Nobody knows where the checkpoints were.
        return [case.expected(self.redirect, is_kept)
                for is_kept in (False, True)]

    def operate(self, guest):
        super().operate(guest)
        run("sync", "-f", guest)
        self.wait_for(lambda: not list(self.differing(False)))

    def start(self, guest):
        starting = {place: case for place, case in self.cases.items()
                    if case.start}
        for place, case in starting.items():
            shell(guest / place, case.start)
        run("sync", "-f", guest)
        self.wait_for(lambda: all((self.upper / place).exists()
                                  for place in starting))

    @staticmethod
    def wait_for(condition):
        """Or not, judge() tells."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except FileNotFoundError:  # it is being changed
                pass
            time.sleep(0.2)


class Stepwise(Live):
    """A checkpoint behind each step of the guest's."""

    name = "a checkpoint a step"
    parameters = ("checkpoint=sync",)

    def allowed(self, case):
        return [case.expected(self.redirect, is_kept=True)]

    def operate(self, guest):
        self.start(guest)
        for number in range(self.most_steps()):
            self.step(guest, number)
            run("sync", "-f", guest)
        failed = self.judge(at_rest=False)
        check(not failed, f"{self}: while still mounted: "
              + ", ".join(map(str, failed)))


class Filled(Stack):
    """A checkpoint behind each step over an upper that had files."""

    name = "a checkpoint a step over files of upper"
    debug = ("check",)
    parameters = ("checkpoint=sync",)

    def allowed(self, case):
        return [case.expected(self.redirect, is_kept=True, is_filled=True)]

    def operate(self, guest):
        for number in range(self.most_steps()):
            self.step(guest, number)
            run("sync", "-f", guest)


class Runs(Stack):
    """A run of nbdkit for each step of the guest's."""

    name = "a run a step, whole tree"

    def runs(self):
        yield self.start
        for number in range(self.most_steps()):
            yield functools.partial(self.step, number=number)


class LiveRuns(Runs, Live):
    """Each ends with a checkpoint, and there is no other."""

    name = "a run a step"
    parameters = ("checkpoint=86400",)

    def allowed(self, case):
        return [case.expected(self.redirect, is_kept=True)]

    @staticmethod
    def wait_for(condition):
        """They are at the ends."""


class Kills(LiveRuns):
    """nbdkit is killed behind each step, while it makes the checkpoint that
    follows when its client has gone."""

    name = "killed behind each step"
    allowed = Live.allowed

    def runs(self):
        yield lambda guest: None

    def run(self):
        for operate in super().runs():
            server = self.server(self.upper, self.work).start()
            with server.mounted("ext4") as guest:
                operate(guest)
            server.kill()
        return super().run()
