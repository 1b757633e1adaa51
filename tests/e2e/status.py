#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""`ovl status WORKDIR`: a device before the first write, at work, held back,
killed, and settled.
"""
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Server, check, run  # noqa: E402

OVL = ovltest.BUILD / "ovl"
NBD_GUEST = ovltest.BUILD / "tests" / "nbd_guest"
PATIENCE = 60  # seconds


def status(work):
    lines = run(OVL, "status", work).splitlines()
    return dict(line.split(": ", 1) for line in lines)


def wait_for(work, what, holds):
    end = time.monotonic() + PATIENCE
    while not holds(status(work)):
        check(time.monotonic() < end, f"never {what}: {status(work)}")
        time.sleep(0.1)


def guest(server, script):
    uri = f"nbd+unix:///?socket={server.socket}"
    done = subprocess.run([NBD_GUEST, uri], input=script, text=True,
                          stderr=subprocess.PIPE)
    check(done.returncode == 0, f"nbd_guest: {done.stderr}")


def test(space):
    lower, upper, work = (space.dir(name) for name in ("lower", "U", "W"))
    (lower / "file").write_text("lower\n")
    params = (f"lowerdir={lower}", f"upperdir={upper}", f"workdir={work}",
              "size=+100M",
              *([] if os.geteuid() == 0 else ["owner=squash"]))
    server = Server(space, f"lowerdir={lower}", f"upperdir={upper}",
                    f"workdir={work}", "size=+100M", "checkpoint=1",
                    *([] if os.geteuid() == 0 else ["owner=squash"]))
    with server:
        check("nothing was written" in run(OVL, "status", work), "fresh")
        guest(server, "write new text\n")
        wait_for(work, "shown", lambda now: (upper / "new").exists())
        now = status(work)
        check(now["server"] == f"process {server.pid}", f"server: {now}")
        check(int(now["log"].split()[0]) > 0, f"log: {now}")
        check("held back" not in now, f"held back: {now}")
        held_back(server, upper, work)
    now = status(work)
    check(now["server"] == "none", f"after the end: {now}")
    check(now["upperdir"].startswith("shows all of the device"),
          f"after the end: {now}")
    check("held back" not in now, f"after the end: {now}")
    forked(space, params, work)


def forked(space, params, work):
    """nbdkit in the background: told is the process that serves."""
    where = space.fresh("forked")
    sock, pid = where / "sock", where / "pid"
    run("nbdkit", "-U", sock, "-P", pid, ovltest.PLUGIN, *params)
    wait_for(work, "served", lambda now: now["server"] != "none")
    number = int(pid.read_text())
    told = status(work)["server"]
    decode = subprocess.run([OVL, "decode", work], text=True,
                            capture_output=True)
    os.kill(number, signal.SIGTERM)
    check(told == f"process {number}", f"{told}, not {number}")
    check(f"process {number}" in decode.stderr, f"decode: {decode.stderr}")
    wait_for(work, "gone", lambda now: now["server"] == "none")


def held_back(server, upper, work):
    """Somebody else's file is where the guest makes one."""
    (upper / "taken").write_text("foreign\n")
    guest(server, "write taken ours\n")
    wait_for(work, "held back", lambda now: "held back" in now)
    check("upperdir: taken" in status(work)["held back"], "names the path")
    (upper / "taken").unlink()
    wait_for(work, "let go", lambda now: "held back" not in now)
    check((upper / "taken").read_text() == "ours", "what the guest wrote")


if __name__ == "__main__":
    ovltest.main(test, needs_root=False)
