# SPDX-License-Identifier: BSD-3-Clause
"""What the tests with a virtual machine share: layers with a server for them,
the file system that the guest has mounted of it, and work in it that goes on
while the server is killed and started.
"""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from made_tree import make  # noqa: E402
from ovltest import Server, check, run  # noqa: E402
from treecmp import check_same, dump_dir, treedump  # noqa: E402

IS_ROOT = os.geteuid() == 0
# Without root, upper has no owners, and there is no overlay to ask.
FORMAT = [] if IS_ROOT else ["--no-owner"]
NBD_GUEST = ovltest.BUILD / "tests" / "nbd_guest"


class Case:
    """A tree, its upper, and the server for them, which runs within `with`.
    There it is killed at the end of a test that failed: a machine that has
    the device would keep it from exiting."""

    def __init__(self, space, *params, server=Server):
        self.space = space
        self.lower, self.upper, self.work = (
            space.dir(name) for name in ("lower", "upper", "work"))
        make(self.lower)
        for number in range(12):
            (self.lower / "share" / f"big{number}").write_bytes(
                os.urandom(60_000 * number))
        who = [] if IS_ROOT else ["userxattr=yes", "owner=squash"]
        self.server = server(
            space, f"lowerdir={self.lower}", f"upperdir={self.upper}",
            f"workdir={self.work}", *who, *params)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        if self.server.process is not None:
            self.server.kill()

    def restart(self, seconds_between=0):
        """SIGKILL, and the same command again."""
        self.server.kill()
        time.sleep(seconds_between)
        self.server.start()

    def restart_in_order(self, vm, drive):
        """nbdkit exits, and starts again; meanwhile the drive is out of the
        machine, which would else meet errors. Returns the new Drive."""
        vm.detach(drive)
        status = self.server.stop()
        check(status == 0, f"nbdkit: exit status {status}")
        self.server.start()
        return vm.attach(self.server.socket)

    def check_device(self, seen):
        """What is served is clean, and is the tree that the guest saw."""
        image = self.space.path / "image"
        run("nbdcopy", self.server.uri, image)
        ovltest.fsck(image)
        image.unlink()
        check_same(run(NBD_GUEST, self.server.uri, "dump", *FORMAT).splitlines(),
                   seen, "device", "guest")

    def stop_and_check_upper(self, seen):
        """nbdkit exits; upper shows the tree that the guest saw."""
        status = self.server.stop()
        check(status == 0, f"nbdkit: exit status {status}")
        check(self.server.log() == "", f"nbdkit said:\n{self.server.log()}")
        family = [] if IS_ROOT else ["--userxattr"]
        check_same(treedump("layers", self.lower, "--upper", self.upper,
                            *family, *FORMAT),
                   seen, "our reader of layers", "guest")
        if IS_ROOT:
            with ovltest.overlay(self.space, [self.lower],
                                 self.upper) as mount:
                check_same(dump_dir(mount), seen, "kernel overlay", "guest")


class Mounted:
    """The file system of a device, mounted in the guest."""

    def __init__(self, vm, device, fs_type="ext4", options="rw"):
        self.vm = vm
        self.where = f"/mnt/{pathlib.Path(device).name}"
        vm.run(f"mkdir -p {self.where} && "
               f"mount -t {fs_type} -o {options} {device} {self.where}")

    def run(self, command):
        """In the root of the file system."""
        return self.vm.run(f"cd {self.where} && {command}")

    def dump(self):
        return self.run(f"treedump dir {self.where} --exclude lost+found "
                        + " ".join(FORMAT)).splitlines()

    def forget(self):
        """What is read next comes from the device."""
        self.run("sync && echo 3 >/proc/sys/vm/drop_caches")

    def checked_dump(self):
        """The tree; on the device it is as in the guest's memory."""
        cached = self.dump()
        self.forget()
        check_same(self.dump(), cached, "read from the device", "in memory")
        return cached

    def unmount(self):
        self.vm.run(f"umount {self.where}")
        self.vm.check_kernel()


COPY = """cd {where}; mkdir copy
while [ ! -e /run/stop ]; do
  rm -rf copy/* && cp -a lib share copy/ || exit 1
done"""
READ = """cd {where}; find lib share bin -type f | sort >/run/names
xargs md5sum </run/names >/run/first || exit 1
while [ ! -e /run/stop ]; do
  echo 3 >/proc/sys/vm/drop_caches
  xargs md5sum </run/names >/run/now && cmp /run/first /run/now || exit 1
done"""
COMPARE_COPY = "(find lib share -type f | sort | xargs md5sum) >/run/theirs" \
    " && (cd copy && find lib share -type f | sort | xargs md5sum) >/run/ours" \
    " && cmp /run/theirs /run/ours"


class Work:
    """In a mounted file system: random operations with fsync, a tree copied
    again and again, a tree read again and again."""

    def __init__(self, mounted, seed):
        self._mounted = mounted
        vm = mounted.vm
        vm.run("rm -f /run/stop /run/progress")
        mounted.run("mkdir load")
        self._jobs = [vm.start_job(command.format(where=mounted.where))
                      for command in
                      ("guest_load {where}/load " f"{seed} /run/stop "
                       "/run/progress", COPY, READ)]
        vm.run("for _ in $(seq 500); do pidof guest_load && break; "
               "usleep 20000; done")
        self.wait_for(30)

    def wait_for(self, operations):
        """Until so many more operations were done, or the load has ended."""
        self._mounted.vm.run(
            "done=$(cat /run/progress 2>/dev/null); "
            f"until [ \"$(cat /run/progress)\" -ge $((done + {operations})) ]"
            " || ! pidof guest_load; do usleep 20000; done >/dev/null 2>&1")

    def end(self):
        """All of it went well; returns what the load tells."""
        self._mounted.vm.run("touch /run/stop")
        told = [job.wait() for job in self._jobs]
        self._mounted.run(COMPARE_COPY)
        return told[0].strip()
