# SPDX-License-Identifier: BSD-3-Clause
"""A virtual machine in which a real kernel mounts what nbdkit serves.

    with Vm(space) as vm:
        drive = vm.attach(server.socket)
        vm.run(f"mount -t ext4 {drive.device} /mnt")
        load = vm.start_job("guest_load /mnt 1 /run/stop /run/progress")
        ...
        load.wait()

A drive is a virtio disk over QEMU's NBD client, which waits for a server that
went away, up to RECONNECT_SECONDS. From the guest, the host's 127.0.0.1 is
HOST. The machine is emulated, so that it is the same everywhere: it is about
twenty times slower than the host. OVL_VM_ACCELERATOR=kvm makes it fast, where
there is KVM.

What the guest's kernel says is in the machine's `console`, which is shown when
a test fails.
"""
import base64
import collections
import os
import re
import socket
import subprocess

from ovltest import BUILD, Failure, check, skip, start_process
from qmp import Qmp
from vm_image import Unavailable, find_program, kernel, make_initramfs

ACCELERATOR = os.environ.get("OVL_VM_ACCELERATOR", "tcg")
QEMU = "qemu-system-x86_64"
RECONNECT_SECONDS = 60
HOST = "10.0.2.2"
PROGRAMS = (BUILD / "tests" / "treedump", BUILD / "tests" / "guest_load")
HOST_PROGRAMS = ("mke2fs", "e2fsck", "tune2fs", "e2label", "nbd-client",
                 "qemu-nbd")
# What the kernel says when a device or a file system failed it.
TROUBLE = re.compile(r"I/O error|EXT[234]-fs.*error|EXT4-fs \(.*\): (Remount"
                     r"|failed)|Aborting journal|blocked for more than|BUG:"
                     r"|Call Trace", re.I)

Drive = collections.namedtuple("Drive", "name device")
Reply = collections.namedtuple("Reply", "status output")


class Job:
    """A command that goes on in the guest while others run."""

    def __init__(self, vm, name, command):
        self._vm = vm
        self._name = name
        self.command = command

    def output(self):
        """What it printed so far."""
        return self._vm.run(f"cat /run/{self._name}.output")

    def wait(self, seconds=120):
        """Its output, once it has ended; it must have succeeded."""
        reply = self._vm.attempt(
            f"read status </run/{self._name}; cat /run/{self._name}.output; "
            f"exit $status", seconds)
        check(reply.status == 0, f"in the guest: {self.command}: exit status "
              f"{reply.status}\n{reply.output}")
        return reply.output


class Vm:
    """A machine that was booted; `with` starts and ends it."""

    def __init__(self, space, memory="512M"):
        self.where = space.fresh("vm")
        self.console_path = self.where / "console"
        self.memory = memory
        self.process = None
        self._port = self._monitor = None
        self._count = 0

    def start(self, seconds=240):
        """Boots it; returns when it takes commands."""
        try:
            used = kernel()
            programs = [*PROGRAMS, *map(find_program, HOST_PROGRAMS)]
            initramfs = make_initramfs(self.where / "initramfs", used, programs)
            qemu = find_program(QEMU)
        except Unavailable as reason:
            skip(f"no virtual machine: {reason}")
        self._port, port = socket.socketpair()
        monitor, its_monitor = socket.socketpair()
        fds = [port.fileno(), its_monitor.fileno()]
        with port, its_monitor, open(self.where / "qemu.log", "wb") as log:
            self.process = start_process(
                self._command(qemu, used.image, initramfs, *fds),
                stdout=log, stderr=log, pass_fds=fds)
        try:
            self._monitor = Qmp(monitor)
            self.run("true", seconds)
        except (Failure, OSError) as failure:
            self.kill()
            raise Failure(f"no boot: {failure}\n{self.explain()}") from None
        return self

    def _command(self, qemu, image, initramfs, port, monitor):
        return [
            qemu, "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none", "-machine", "pc", "-accel", ACCELERATOR,
            "-m", self.memory, "-kernel", image, "-initrd", initramfs,
            "-append",
            "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on",
            "-serial", f"file:{self.console_path}",
            "-chardev", f"socket,id=monitor,fd={monitor}",
            "-mon", "chardev=monitor,mode=control",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=port,fd={port}",
            "-device", "virtserialport,chardev=port,nr=1",
            "-netdev", "user,id=net",
            "-device", "virtio-net-pci,netdev=net,romfile="]

    def attach(self, server_socket):
        """A new disk, which is what is served on this socket: a Drive."""
        self._count += 1
        name = f"drive{self._count}"
        self._monitor.execute("blockdev-add", **{
            "driver": "nbd", "node-name": name, "discard": "unmap",
            "reconnect-delay": RECONNECT_SECONDS,
            "server": {"type": "unix", "path": str(server_socket)}})
        self._monitor.execute("device_add", **{
            "driver": "virtio-blk-pci", "id": f"{name}-disk", "drive": name,
            "serial": name, "werror": "report", "rerror": "report"})
        found = self.run(
            f"until grep -lx {name} /sys/block/vd*/serial; do usleep 20000; "
            "done 2>/dev/null", 120)
        return Drive(name, "/dev/" + found.split("/")[3])

    def detach(self, drive):
        """Takes the disk out; QEMU has said goodbye to its server."""
        self._monitor.execute("device_del", id=f"{drive.name}-disk")
        self._monitor.wait_for("DEVICE_DELETED", device=f"{drive.name}-disk")
        self._monitor.execute("blockdev-del", **{"node-name": drive.name})

    def attempt(self, command, seconds=120):
        """Runs a shell command in the guest: a Reply, whatever its status."""
        self._count += 1
        sent = base64.b64encode(command.encode()).decode()
        try:
            self._port.settimeout(seconds)
            self._port.sendall(f"{self._count} {sent}\n".encode())
            head = self._receive_line().split(" ")
            check(len(head) == 3 and head[0] == str(self._count),
                  f"not the reply to command {self._count}: {head}")
            output = self._receive(int(head[2]))
        except (OSError, ValueError) as error:
            raise Failure(f"in the guest: {command}: {error}\n"
                          + self.explain()) from None
        return Reply(int(head[1]), output.decode(errors="replace"))

    def run(self, command, seconds=120):
        """Runs a command that must succeed; returns what it printed."""
        reply = self.attempt(command, seconds)
        check(reply.status == 0, f"in the guest: {command}: exit status "
              f"{reply.status}\n{reply.output}{self.explain()}")
        return reply.output

    def start_job(self, command):
        """Starts a command that goes on by itself: a Job."""
        name = f"job{self._count}"
        self.run(f"mkfifo /run/{name}; ( ( {command}\n) </dev/null "
                 f">/run/{name}.output 2>&1; echo $? >/run/{name} ) "
                 "</dev/null >/dev/null 2>&1 &")
        return Job(self, name, command)

    def _receive(self, count):
        data = b""
        while len(data) < count:
            some = self._port.recv(count - len(data))
            if not some:
                raise ConnectionResetError("the virtual machine ended")
            data += some
        return data

    def _receive_line(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self._receive(1)
        return line.decode().strip()

    def check_kernel(self):
        """The guest's kernel met no trouble since it was last asked."""
        said = self.run("dmesg -c")
        found = [line for line in said.splitlines() if TROUBLE.search(line)]
        check(not found, "the guest's kernel says:\n" + "\n".join(found))

    def explain(self):
        told = [path.read_text(errors="replace")[-4000:] for path in
                (self.where / "qemu.log", self.console_path) if path.exists()]
        return "what QEMU and the guest's kernel said:\n" + "\n".join(told)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(60)
            self._port.close()
            if self._monitor:
                self._monitor.close()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
