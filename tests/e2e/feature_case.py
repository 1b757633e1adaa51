# SPDX-License-Identifier: BSD-3-Clause
"""A lower, an empty upper that follows the guest, and the ways to look at it:
what the tests of features stand on."""
import contextlib
import os
import stat
import time
import traceback

import ovltest
from ovltest import Failure, Server, check, run
from treecmp import check_same, dump_dir

PRIVATE = "trusted.overlay."
SECONDS = 60  # for a checkpoint to come; at worst a host is that slow


class Case:
    """Layers of one story. `lowers` are topmost first; `lower` is the first."""

    def __init__(self, space, lowers=1):
        self.space = space
        self.lowers = [space.dir(f"lower{n}") for n in range(lowers)]
        self.lower = self.lowers[0]
        self.upper, self.work = space.dir("upper"), space.dir("work")

    def parameters(self, *more):
        names = ":".join(map(str, self.lowers))
        return [f"lowerdir={names}", f"upperdir={self.upper}",
                f"workdir={self.work}", "checkpoint=1", "size=+256M", *more]

    def server(self, *more, options=()):
        return Server(self.space, *self.parameters(*more), options=options)

    @contextlib.contextmanager
    def served(self, *more, fs_type="ext4"):
        """The guest's mount; nbdkit must have nothing to say."""
        with self.server(*more) as server, server.mounted(fs_type) as guest:
            yield guest
        check(server.log() == "", f"nbdkit said:\n{server.log()}")

    def overlay(self):
        return ovltest.overlay(self.space, self.lowers, self.upper)

    def overlay_now(self):
        with self.overlay() as mount:
            return dump_dir(mount)

    def settle(self, guest):
        """Waits until upper shows what the guest has now; returns that."""
        seen = sync(guest)
        end = time.monotonic() + SECONDS
        while True:
            try:
                check_same(self.overlay_now(), seen, "kernel overlay",
                           "guest", "while mounted")
                return seen
            except Failure:
                if time.monotonic() > end:
                    raise
            time.sleep(0.3)

    def check_end(self, seen):
        """The run is over: upper shows it, and so does the next start."""
        check_same(self.overlay_now(), seen, "kernel overlay", "guest",
                   "after the end")
        with self.server() as server:
            server.fsck()
            with server.mounted(options="ro") as guest:
                check_same(dump_dir(guest), seen, "after the restart", "before")

    def expect_upper(self, expected):
        """What upper holds, as in `objects_of`, and nothing else."""
        found = objects_of(self.upper)
        check(found == expected, f"upper holds {found}\nexpected  {expected}")


def sync(guest):
    run("sync", "-f", guest)
    return dump_dir(guest)


def fill(root, files):
    """Files by their paths, each with a text of its own."""
    for path in files.split():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{path} in {root.name}\n" * 50)


def kind_of(path):
    """One letter, w for a whiteout, with opaque and redirect named."""
    st = path.lstat()
    if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
        return "w"
    letter = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l",
              stat.S_IFIFO: "p"}.get(stat.S_IFMT(st.st_mode), "?")
    names = os.listxattr(path, follow_symlinks=False)
    marks = [name.removeprefix(PRIVATE) for name in sorted(names)
             if name.startswith(PRIVATE)]
    return " ".join([letter, *marks])


def objects_of(upper):
    """{path: kind_of it}"""
    return {str(path.relative_to(upper)): kind_of(path)
            for path in sorted(upper.rglob("*"))}


def states_of(root):
    """By which any write to the tree would show, without reading it."""
    return {str(path): (st.st_ino, st.st_mode, st.st_size, st.st_mtime_ns,
                        st.st_ctime_ns)
            for path in [root, *sorted(root.rglob("*"))]
            for st in [path.lstat()]}


def check_untouched(before, root, context="upper was written to"):
    now = states_of(root)
    changed = {path: (before.get(path), now.get(path))
               for path in before.keys() | now.keys()
               if before.get(path) != now.get(path)}
    check(not changed, f"{context}: {changed}")


def refused(action, *codes):
    """The action fails, with one of these error numbers."""
    try:
        action()
    except OSError as error:
        check(error.errno in codes, f"{error}: not one of {codes}")
        return
    raise Failure("it was not refused")


def as_user(user, action):
    """Runs it in a process without privilege; it must not raise."""
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            try:
                action()
                status = 0
            except BaseException as error:
                ovltest.say(f"  as user {user}: {error!r}")
        os._exit(status)
    check(os.waitpid(child, 0)[1] == 0, f"it failed as user {user}")


def run_stories(space, chosen, modules):
    """Every function of the modules whose one parameter is `space`."""
    failed = []
    for story in stories_of(modules):
        if chosen and story.__name__ not in chosen:
            continue
        begin = time.monotonic()
        with ovltest.Workspace(story.__name__) as inner:
            try:
                story(inner)
                verdict = "passed"
            except Exception as failure:
                inner.failed = True
                failed.append(story.__name__)
                what = failure if isinstance(failure, Failure) \
                    else traceback.format_exc()
                verdict = f"FAILED: {what}"
        ovltest.say(f"{story.__name__}: {verdict} "
                    f"({time.monotonic() - begin:.1f} s)")
    check(not failed, f"{len(failed)} features: {' '.join(failed)}")


def stories_of(modules):
    return [item for module in modules for item in vars(module).values()
            if callable(item) and getattr(item, "__code__", None)
            and item.__module__ == module.__name__
            and item.__code__.co_varnames[:item.__code__.co_argcount]
            == ("space",)]
