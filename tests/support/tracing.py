# SPDX-License-Identifier: BSD-3-Clause
"""System calls of a server, as strace notes them, paths of descriptors
included."""
import contextlib
import re
import signal

from ovltest import check, start_process, wait_until

# strace knows the newest, getxattrat and so on, by numbers only.
NEW_XATTR_CALLS = "syscall_0x1(cf|d[012])"
XATTR_CALLS = ("getxattr,lgetxattr,fgetxattr,listxattr,llistxattr,flistxattr,"
               "setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,"
               "fremovexattr")
SYNC_CALLS = "fsync,fdatasync,syncfs,sync"


class Trace:
    """Of which `lines` are those so far."""

    def __init__(self, space, calls):
        names = calls.replace(",", "|")
        if calls == XATTR_CALLS:
            names += "|" + NEW_XATTR_CALLS
        self.wanted = re.compile(rf"\d+ +({names})\(")
        self.file = space.fresh("trace") / "calls"
        self.options = ["-f", "-y", "-e", f"trace={calls}", "-e",
                        "signal=none", "-o", self.file]

    def whole(self, server):
        """From the server's start; it stays our child, and ends as ever."""
        server.command[:0] = ["strace", "-D", "-q", *self.options]
        return server

    @contextlib.contextmanager
    def attached(self, pid):
        """To a server that runs."""
        told = self.file.with_name("told")
        with open(told, "wb") as errors:
            tracer = start_process(["strace", *self.options, "-p", pid],
                                   stderr=errors)
        try:
            wait_until(lambda: b" attached" in told.read_bytes() or
                       tracer.poll() is not None, 60, "strace")
            check(tracer.poll() is None, told.read_text())
            yield self
        finally:
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGINT)
            tracer.wait(60)

    @property
    def lines(self):
        return self.file.read_text(errors="replace").splitlines()

    def begun(self):
        """A place in `lines`, for what comes after it."""
        return len(self.lines) if self.file.exists() else 0

    def calls(self, since=0):
        """Each call once, also where it was cut in two by another thread. One
        that strace does not know it notes whatever it was asked for."""
        return [line for line in self.lines[since:]
                if self.wanted.match(line)]
