#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""nbdkit is killed and started again under a virtual machine that has the
device mounted, and the machine does not notice.

QEMU's NBD client waits for the server. The guest meets no error, finds every
byte that it wrote, and unmounts a clean file system; upper then shows what it
saw. Needs QEMU; as root it asks the kernel's overlay, too.

vm_restart.py [--seed N] [STORY...]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from ovltest import say  # noqa: E402
from treecmp import check_same  # noqa: E402
from vm_case import Case, Mounted  # noqa: E402
from vm_story import main  # noqa: E402


def work(story, fs_type, kills, *params, options="rw"):
    with Case(story.space, "size=1G", *params) as case:
        drive = story.vm.attach(case.server.socket)
        mounted = Mounted(story.vm, drive.device, fs_type, options)
        story.work(case, mounted, kills)
        story.vm.run(f"fstrim {mounted.where}")
        finish(story, case, drive, mounted)


def finish(story, case, drive, mounted):
    story.finish(case, mounted, lambda: story.vm.detach(drive))


def killed_under_the_ext4_driver(story):
    work(story, "ext4", 5)


def killed_under_the_ext4_driver_with_extents_and_discard(story):
    work(story, "ext4", 3, "type=ext4", options="discard")


def killed_under_the_ext3_driver(story):
    work(story, "ext3", 1)


def killed_under_a_journal_with_data(story):
    work(story, "ext4", 1, options="data=journal")


def killed_under_the_ext2_driver(story):
    work(story, "ext2", 1)


def killed_without_a_journal(story):
    work(story, "ext2", 1, "journal=no")


def killed_without_a_journal_with_extents(story):
    work(story, "ext4", 1, "type=ext4", "journal=no")


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
        finish(story, case, drive, mounted)


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
        finish(story, case, drive, mounted)


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
        drive = case.restart_in_order(story.vm, drive)
        mounted = Mounted(story.vm, drive.device)
        check_same(mounted.dump(), seen, "after the restart", "before")
        finish(story, case, drive, mounted)


if __name__ == "__main__":
    main(globals())
