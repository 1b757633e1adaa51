# SPDX-License-Identifier: BSD-3-Clause
"""Runs the stories of a test in one virtual machine: each function of the test
whose only parameter is `story`. The first that fails ends the test, because
the machine is then in an unknown state.

    main(globals())    # of the test: [--seed N] [STORY...]
"""
import argparse
import inspect
import random
import time

from vm_case import IS_ROOT, Work, ovltest
from ovltest import say
from vm import Vm


class Story:
    """What a story is told with: a machine, a place, a source of chance."""

    def __init__(self, vm, space, seed):
        self.vm = vm
        self.space = space
        self.random = random.Random(seed)

    def work(self, case, mounted, kills):
        """All kinds of work; `kills` times nbdkit dies in the middle."""
        work = Work(mounted, self.random.randrange(1 << 32))
        for _ in range(kills):
            case.restart(self.random.choice([0, self.random.random()]))
            work.wait_for(self.random.randrange(5, 60))
        say(f"  {work.end()}, {kills} restarts")

    @staticmethod
    def finish(case, mounted, detach):
        """The guest unmounts; device and upper are what it saw. `detach`
        takes the device from the guest."""
        seen = mounted.checked_dump()
        mounted.unmount()
        case.check_device(seen)
        detach()
        case.stop_and_check_upper(seen)


def _test(space, stories, chosen, seed):
    say(f"seed {seed}")
    if not IS_ROOT:
        say("not root: the kernel's overlay is not asked")
    with Vm(space) as vm:
        for name in chosen or stories:
            say(name)
            began = time.monotonic()
            with ovltest.Workspace(name) as inner:
                stories[name](Story(vm, inner, f"{seed} {name}"))
            say(f"  {time.monotonic() - began:.1f} s")


def main(names):
    stories = {name: item for name, item in names.items()
               if inspect.isfunction(item)
               and list(inspect.signature(item).parameters) == ["story"]}
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", default=random.SystemRandom().getrandbits(32))
    parser.add_argument("stories", nargs="*", metavar="STORY")
    chosen = parser.parse_args()
    for name in chosen.stories:
        if name not in stories:
            parser.error(f"no story {name}; there are: {' '.join(stories)}")
    ovltest.main(_test, stories, chosen.stories, chosen.seed,
                 needs_root=IS_ROOT)
