# SPDX-License-Identifier: BSD-3-Clause
"""Features of the overlay that show on the host: what is read, synced, and
locked there."""
import os
import pathlib
import re

import ovltest
from feature_case import Case, check_untouched, fill, states_of
from made_tree import make
from ovltest import Server, check, run, say, wait_until
from tracing import SYNC_CALLS, XATTR_CALLS, Trace
from treecmp import check_same, dump_dir

USER = 1000
MIB = 1 << 20
DOCUMENTED = (
    "kernel", "statfs(2)", "rename to itself", "whiteout", "remounted",
    "telldir(3)", "seekdir(3)", "rm -rf", "64 bits", "fsync(2)", "symlink",
    "unlinked", "behind nbdkit's back", "extended attributes", "truncated",
    "st_dev", "st_ino", "topmost", "mounted overlay", "never listed", "lock",
    "rights", "link count")


def modules_and_file_systems():
    modules = pathlib.Path("/sys/module")
    return (sorted(os.listdir(modules)) if modules.exists() else [],
            pathlib.Path("/proc/filesystems").read_text())


def loadable_without_kernel_change(space):
    """A plugin that any user loads; the kernel's own drivers mount it."""
    lower = space.dir("lower")
    make(lower)
    copy = space.path / "copy"
    before = modules_and_file_systems()
    with Server(space, f"lowerdir={lower}", as_user=USER) as server:
        run("nbdcopy", server.uri, copy)
    check(modules_and_file_systems() == before, "the kernel is another")
    check(copy.stat().st_size > 0, "nothing was served")
    with ovltest.overlay(space, [lower]) as kernel:
        seen = dump_dir(kernel)
    with Server(space, f"lowerdir={lower}") as server:
        for driver in ("ext2", "ext4"):
            with server.mounted(driver, "ro") as guest:
                check_same(dump_dir(guest), seen, driver, "kernel overlay")


def fsync_of_a_directory_reaches_the_disk(space):
    """Before it returns the log is synced, and with checkpoint=sync the same
    directory in upper, also one that was only just copied up."""
    for mode in ("1", "sync"):
        case = Case(space.enter_context(ovltest.Workspace(mode)))
        fill(case.lower, "d/f")
        trace = Trace(case.space, SYNC_CALLS)
        with case.server(f"checkpoint={mode}") as server, \
                server.mounted() as guest, trace.attached(server.pid):
            for old, new in (("f", "g"), ("g", "h")):
                (guest / "d" / old).rename(guest / "d" / new)
                begun = trace.begun()
                fsync(guest / "d")
                synced = set(re.findall("<(.*)>", "\n".join(
                    trace.calls(begun))))
                check_synced(case, mode, new, synced)


def fsync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def check_synced(case, mode, name, synced):
    """A directory that is copied up is synced while it stands beside upper,
    then what it is moved to."""
    state = f"{case.work}/ovl"
    wanted = {f"{state}/log/0"}
    if mode == "sync" and name == "g":
        wanted |= {f"{state}/staging/1/g", f"{state}/staging/1", case.upper}
    elif mode == "sync":
        wanted |= {case.upper / "d"}
    missing = set(map(str, wanted)) - synced
    check(not missing, f"checkpoint={mode}, {name}: {missing}\nnot in {synced}")
    if mode == "sync":
        case.expect_upper({"d": "d", "d/f": "w", f"d/{name}": "f"})


def xattr_calls(space, count):
    """Of a start, of a checkpoint and the end, of another start; over that
    many files that nobody touches."""
    case = Case(space)
    for number in range(count):
        fill(case.lower, f"d{number % 20}/f{number}")
    fill(case.lower, "d0/touched")
    counts = []
    trace = Trace(space, XATTR_CALLS)
    with trace.whole(case.server()) as server:
        counts.append(len(trace.calls()))
        with server.mounted() as guest:
            fill(guest, "d0/touched")
            os.setxattr(guest / "d0/touched", "user.a", b"b")
            case.settle(guest)
    counts.append(ended(trace) - counts[0])
    trace = Trace(space, XATTR_CALLS)
    with trace.whole(case.server()) as server, server.mounted() as guest:
        os.listdir(guest)
    counts.append(ended(trace))
    return counts


def ended(trace):
    """The number of calls, once strace has noted all of them."""
    wait_until(lambda: "+++ exited" in trace.lines[-1], 60, "strace")
    return len(trace.calls())


def no_needless_xattr_calls(space):
    """A first start lists those of each object once; nothing later costs more
    for objects that nobody touches."""
    few, many = 200, 1200
    counts = {number: xattr_calls(space.enter_context(
        ovltest.Workspace(f"{number}")), number) for number in (few, many)}
    say(f"  calls for {few} and for {many} files: {counts}")
    grown = [b - a for a, b in zip(counts[few], counts[many])]
    check(0 < grown[0] <= many - few, f"at a start: {counts}")
    check(abs(grown[1]) <= 2, f"at a checkpoint and the end: {counts}")
    check(abs(grown[2]) <= 2, f"at another start: {counts}")
    check(max(counts[many][1:]) <= 60, f"{counts}")


def read_bytes(pid):
    """By system calls, from files and pipes."""
    text = pathlib.Path(f"/proc/{pid}/io").read_text()
    return int(re.search(r"rchar: (\d+)", text)[1])


def truncate_without_copying_the_old_data(space):
    """Nor is it read, as that of a file that must be copied is."""
    case = Case(space)
    names = ("emptied", "rewritten", "shortened")
    for name in (*names, "copied"):
        with open(case.lower / name, "wb") as file:
            for number in range(100):
                file.write(b"%08d" % number * (MIB // 8))
    with case.server() as server, server.mounted() as guest:
        before = read_bytes(server.pid)
        os.truncate(guest / "emptied", 0)
        (guest / "rewritten").write_text("new\n")
        os.truncate(guest / "shortened", 5000)
        wait_for_sizes(case, guest, dict(zip(names, (0, 4, 5000))))
        read = read_bytes(server.pid) - before
        check(read < 8 * MIB, f"{read} bytes were read")
        (guest / "copied").chmod(0o600)
        wait_for_sizes(case, guest, {"copied": 100 * MIB})
        read = read_bytes(server.pid) - before
        check(read >= 100 * MIB, f"{read} bytes are too few to be counted")
        seen = case.settle(guest)
    check(server.log() == "", server.log())
    case.check_end(seen)


def wait_for_sizes(case, guest, wanted):
    """Of files in upper, without a look at what is in the guest's."""
    run("sync", "-f", guest)

    def are_there():
        return all((case.upper / name).exists() and
                   (case.upper / name).stat().st_size == size
                   for name, size in wanted.items())
    wait_until(are_there, 60, f"{wanted} in upper")


def upper_is_locked_by_a_writable_device_only(space):
    """Any number of read-only ones may show it at once; of writable ones, one
    may have it, and one its workdir."""
    case = Case(space)
    fill(case.lower, "f")
    fill(case.upper, "g")
    shown = f"lowerdir={case.upper}:{case.lower}"
    before = states_of(case.upper)
    with Server(space, shown) as one, Server(space, shown) as other:
        with one.mounted(options="ro") as here, \
                other.mounted(options="ro") as there:
            check_same(dump_dir(here), dump_dir(there), "one", "other")
            check_same(dump_dir(here), case.overlay_now(), "one", "overlay")
        for server in (one, other):
            info = run("nbdinfo", "--json", server.uri)
            check('"is_read_only": true' in info, f"not read-only: {info}")
    check_untouched(before, case.upper)
    elsewhere = space.dir("upper2"), space.dir("work2")
    with case.server() as server:
        for upper, work in ((case.upper, case.work),
                            (case.upper, elsewhere[1]),
                            (elsewhere[0], case.work)):
            line = ovltest.refusal(f"lowerdir={case.lower}",
                                   f"upperdir={upper}", f"workdir={work}")
            check("in use by another server" in line and
                  str(server.pid) in line, line)
    with case.server() as server:  # it was let go of
        pass


def documented_in_the_manual_page(space):
    """Each of these is told of to users."""
    pod = ovltest.REPO / "plugin" / "nbdkit-ovl-plugin.pod"
    run("podchecker", "-warnings", pod)
    section = pod.read_text().split("=head2 As an overlay\n")[1]
    section = section.split("\n=head")[0]
    for word in DOCUMENTED:
        check(word in section, f"nothing about {word}")
