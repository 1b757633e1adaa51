#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's own NBD driver, in a virtual machine, against nbdkit over TCP.

Its requests differ from those of a virtio disk: it has FUA writes, and no
flush behind them. With qemu-nbd between driver and network, as with QEMU's
disks, nbdkit may be killed and started again. nbd-client 3.24 gives a device
that ends with its connection, whatever its options: there the guest loses its
device, and finds all that it had synced in the next one.

vm_nbd.py [--seed N] [STORY...]
"""
import pathlib
import random
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from ovltest import Failure, Server, check  # noqa: E402
from treecmp import check_same  # noqa: E402
from vm import HOST, RECONNECT_SECONDS  # noqa: E402
from vm_case import Case, Mounted  # noqa: E402
from vm_story import main  # noqa: E402

DEVICE = "/dev/nbd0"


def free_port():
    """A port that nobody listens on, outside the range from which kernels
    choose: it stays free while the server is down."""
    for port in random.sample(range(20000, 30000), 100):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure("no free port")


class TcpServer(Server):
    """nbdkit on a TCP port of 127.0.0.1."""

    def __init__(self, space, *params):
        super().__init__(space, *params)
        self.port = free_port()
        at = self.command.index("-U")
        self.command[at:at + 2] = ["-i", "127.0.0.1", "-p", self.port]

    @property
    def uri(self):
        return f"nbd://127.0.0.1:{self.port}"


def attach_by_nbd_client(vm, port):
    vm.run(f"nbd-client -N '' {HOST} {port} {DEVICE}")


def detach_by_nbd_client(vm):
    vm.run(f"nbd-client -d {DEVICE}")


def attach_by_qemu_nbd(vm, port):
    vm.run(f"mkdir -p /var/lock; qemu-nbd --fork -c {DEVICE} --image-opts "
           f"driver=nbd,server.type=inet,server.host={HOST},"
           f"server.port={port},reconnect-delay={RECONNECT_SECONDS}")


def detach_by_qemu_nbd(vm):
    vm.run(f"qemu-nbd -d {DEVICE}; while pidof qemu-nbd; do usleep 20000; done")


def killed_behind_qemu_nbd(story):
    with Case(story.space, "size=1G", server=TcpServer) as case:
        attach_by_qemu_nbd(story.vm, case.server.port)
        mounted = Mounted(story.vm, DEVICE)
        story.work(case, mounted, 4)
        story.finish(case, mounted, lambda: detach_by_qemu_nbd(story.vm))


def lost_by_nbd_client(story):
    vm = story.vm
    with Case(story.space, "size=1G", server=TcpServer) as case:
        attach_by_nbd_client(vm, case.server.port)
        mounted = Mounted(vm, DEVICE)
        story.work(case, mounted, 0)
        seen = mounted.checked_dump()
        vm.check_kernel()
        case.server.kill()
        lost = vm.attempt(f"echo more >{mounted.where}/more && sync -f "
                          f"{mounted.where}/more")
        check(lost.status != 0, "the device outlived its connection")
        vm.run(f"umount {mounted.where}")
        detach_by_nbd_client(vm)
        vm.run("dmesg -c")  # full of errors
        case.server.start()
        attach_by_nbd_client(vm, case.server.port)
        mounted = Mounted(vm, DEVICE)
        check_same(mounted.dump(), seen, "after the restart", "synced before")
        mounted.run("cp -a lib again")
        story.finish(case, mounted, lambda: detach_by_nbd_client(vm))


if __name__ == "__main__":
    main(globals())
