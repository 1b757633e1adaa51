#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""nbdkit is killed and started again under a virtual machine that has the
device mounted, and the machine does not notice.

QEMU's NBD client waits for the server. The guest meets no error, finds every
byte that it wrote, and unmounts a clean file system; upper then shows what it
saw. Needs QEMU; as root it asks the kernel's overlay, too.

vm_restart.py [--seed N] [STORY...]
"""
import argparse
import inspect
import random
import time

from vm_case import IS_ROOT, Case, Mounted, Work, ovltest
from ovltest import check, say
from treecmp import check_same
from vm import Vm


class Story:
    """What a story is told with: a machine, a place, a source of chance."""

    def __init__(self, vm, space, seed):
        self.vm = vm
        self.space = space
        self.random = random.Random(seed)

    def finish(self, case, drive, mounted):
        """The guest unmounts; device and upper are what it saw."""
        seen = mounted.checked_dump()
        mounted.unmount()
        case.check_device(seen)
        self.vm.detach(drive)
        case.stop_and_check_upper(seen)

    def work(self, fs_type, kills, *params):
        """All kinds of work; `kills` times nbdkit dies in the middle."""
        with Case(self.space, "size=1G", *params) as case:
            drive = self.vm.attach(case.server.socket)
            mounted = Mounted(self.vm, drive.device, fs_type)
            work = Work(mounted, self.random.randrange(1 << 32))
            for _ in range(kills):
                case.restart(self.random.choice([0, self.random.random()]))
                work.wait_for(self.random.randrange(5, 60))
            say(f"  {work.end()}, {kills} restarts")
            self.finish(case, drive, mounted)


def killed_under_the_ext4_driver(story):
    story.work("ext4", 5)


def killed_under_the_ext4_driver_with_extents(story):
    story.work("ext4", 3, "type=ext4")


def killed_under_the_ext3_driver(story):
    story.work("ext3", 1)


def killed_under_the_ext2_driver(story):
    story.work("ext2", 1)


def killed_without_a_journal(story):
    story.work("ext2", 1, "journal=no")


def killed_without_a_journal_with_extents(story):
    story.work("ext4", 1, "type=ext4", "journal=no")


def killed_while_frozen(story):
    with Case(story.space, "size=1G") as case:
        drive = story.vm.attach(case.server.socket)
        mounted = Mounted(story.vm, drive.device)
        mounted.run("cp -a lib before && rm -r lib/d3")
        story.vm.run(f"fsfreeze --freeze {mounted.where}")
        case.check_device(mounted.dump())
        case.restart()
        story.vm.run(f"fsfreeze --unfreeze {mounted.where}")
        mounted.run("cp -a share after && sync")
        story.finish(case, drive, mounted)


def killed_while_read_only(story):
    with Case(story.space, "size=1G") as case:
        drive = story.vm.attach(case.server.socket)
        mounted = Mounted(story.vm, drive.device)
        mounted.run("cp -a lib copy && mv share moved")
        story.vm.run(f"mount -o remount,ro {mounted.where}")
        seen = mounted.dump()
        case.restart()
        mounted.forget()
        check_same(mounted.dump(), seen, "after the restart", "before")
        story.finish(case, drive, mounted)


FILL = """head -c 1000000 /dev/urandom >/run/block
used() { df -k . | tail -n 1 | awk '{print int(100 * $3 / ($3 + $4))}'; }
mkdir fill; number=0
while [ $(used) -lt 95 ]; do
  number=$((number + 1))
  (echo $number; cat /run/block) >fill/$number || exit 1
done
sync; used"""


def stopped_when_nearly_full(story):
    """Ended in order and started again, with the guest's device gone for that
    time: the guest finds all of it."""
    with Case(story.space, "size=64M") as case:
        drive = story.vm.attach(case.server.socket)
        mounted = Mounted(story.vm, drive.device)
        say(f"  {mounted.run(FILL).strip()} % used")
        seen = mounted.checked_dump()
        mounted.unmount()
        story.vm.detach(drive)
        check(case.server.stop() == 0, "nbdkit failed")
        case.server.start()
        drive = story.vm.attach(case.server.socket)
        mounted = Mounted(story.vm, drive.device)
        check_same(mounted.dump(), seen, "after the restart", "before")
        story.finish(case, drive, mounted)


STORIES = {name: item for name, item in list(globals().items())
           if inspect.isfunction(item) and item.__module__ == __name__
           and list(inspect.signature(item).parameters) == ["story"]}


def test(space, chosen, seed):
    say(f"seed {seed}")
    if not IS_ROOT:
        say("not root: the kernel's overlay is not asked")
    with Vm(space) as vm:
        for name in chosen or STORIES:
            say(name)
            began = time.monotonic()
            with ovltest.Workspace(name) as inner:
                STORIES[name](Story(vm, inner, f"{seed} {name}"))
            say(f"  {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", default=random.SystemRandom().getrandbits(32))
    parser.add_argument("stories", nargs="*", metavar="STORY")
    options = parser.parse_args()
    ovltest.main(test, options.stories, options.seed, needs_root=IS_ROOT)
