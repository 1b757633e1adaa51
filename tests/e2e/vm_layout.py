#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What is in no file of upper outlives an orderly end of nbdkit and its next
start: a boot block, a label, inode numbers.

vm_layout.py [--seed N] [STORY...]
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from ovltest import check  # noqa: E402
from treecmp import check_same  # noqa: E402
from vm_case import Case, Mounted  # noqa: E402
from vm_story import main  # noqa: E402

CHANGE = """cp -a lib/d1{number} round{number} && mv share/doc doc{number}
mkdir share/doc && ln bin/env share/doc/env && rm -r lib/d1{number}
echo more >>lib/os-release && echo {number} >share/doc/new
ln -s new share/doc/link && mkfifo share/doc/fifo"""


def inode_numbers(mounted):
    """A line of number and name for each object, directory by directory."""
    return mounted.run("ls -1aiR").splitlines()


def boot_block_and_label_stay(story):
    vm = story.vm
    with Case(story.space, "size=1G") as case:
        drive = vm.attach(case.server.socket)
        boot = "head -c 1024 {} | md5sum"
        vm.run("head -c 1024 /dev/urandom >/run/boot && "
               f"dd if=/run/boot of={drive.device} conv=notrunc,fsync && "
               f"e2label {drive.device} renamed")
        wanted = vm.run(boot.format("/run/boot"))
        for number in range(2):
            drive = case.restart_in_order(vm, drive)
            check(vm.run(boot.format(drive.device)) == wanted,
                  f"the boot block changed, after {number} write-backs")
            label = vm.run(f"e2label {drive.device}").strip()
            check(label == "renamed",
                  f"the label is '{label}', after {number} write-backs")
            mounted = Mounted(vm, drive.device)
            mounted.run(CHANGE.format(number=number))
            seen = mounted.checked_dump()
            mounted.unmount()
        case.check_device(seen)
        vm.detach(drive)
        case.stop_and_check_upper(seen)


def inodes_stay(story, *params):
    vm = story.vm
    with Case(story.space, "size=1G", *params) as case:
        drive = vm.attach(case.server.socket)
        mounted = Mounted(vm, drive.device)
        for number in range(2):
            mounted.run(CHANGE.format(number=number))
            seen, numbers = mounted.dump(), inode_numbers(mounted)
            mounted.unmount()
            drive = case.restart_in_order(vm, drive)
            mounted = Mounted(vm, drive.device)
            check_same(mounted.dump(), seen, "after the restart", "before")
            changed = sorted(set(inode_numbers(mounted)) ^ set(numbers))
            check(not changed, f"{len(changed)} lines of ls differ:\n"
                  + "\n".join(changed[:20]))
        story.finish(case, mounted, lambda: vm.detach(drive))


def inode_numbers_stay(story):
    inodes_stay(story)


def inode_numbers_stay_with_extents(story):
    inodes_stay(story, "type=ext4")


if __name__ == "__main__":
    main(globals())
