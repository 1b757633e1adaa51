# SPDX-License-Identifier: BSD-3-Clause
"""From starting nbdkit to its first reply to a client, and peak memory, beside
nbdkit's own directory plugins and a bare parallel scan of the same tree."""
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import time

MIB = 1 << 20
PLUGINS = ("ovl", "ovl-writable", "linuxdisk", "floppy")


class Failed(Exception):
    """The plugin does not serve this tree; the text is what it says."""


def parameters(ovl, plugin, tree, where):
    if plugin == "ovl":
        return [ovl, f"lowerdir={tree}"]
    if plugin == "ovl-writable":
        for name in ("upper", "work"):
            (where / name).mkdir()
        return [ovl, f"lowerdir={tree}", f"upperdir={where / 'upper'}",
                f"workdir={where / 'work'}",
                *([] if os.geteuid() == 0 else ["owner=squash"])]
    return [plugin, f"dir={tree}"]


def connect(process, sock, log):
    """A socket that nbdkit has greeted: its first reply."""
    while process.poll() is None:
        nbd = socket.socket(socket.AF_UNIX)
        try:
            nbd.connect(str(sock))
            if nbd.recv(18, socket.MSG_WAITALL)[:8] == b"NBDMAGIC":
                return nbd
        except OSError:
            pass
        nbd.close()
        time.sleep(0.002)
    raise Failed(log.read_text(errors="replace").strip())


def read_first_block(nbd):
    stream = nbd.makefile("rwb")
    stream.write(struct.pack(">I", 3))  # fixed newstyle, no zeroes
    stream.write(struct.pack(">8sII", b"IHAVEOPT", 1, 0))
    stream.flush()
    stream.read(10)  # size and flags of the default export
    stream.write(struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 4096))
    stream.flush()
    _, error, _ = struct.unpack(">IIQ", stream.read(16))
    if error or len(stream.read(4096)) != 4096:
        raise Failed(f"the first read failed: error {error}")


def high_water(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def space_held(pid):
    """The disk space of files held open for writing: linuxdisk's copy."""
    held = {}
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            st = fd.stat()
            writable = int((pathlib.Path(f"/proc/{pid}/fdinfo") / fd.name)
                           .read_text().split("flags:")[1].split()[0], 8) & 3
        except OSError:
            continue
        if writable and (st.st_mode & 0o170000) == 0o100000:
            held[(st.st_dev, st.st_ino)] = st.st_blocks * 512
    return sum(held.values())


def measure(ovl, plugin, tree):
    with tempfile.TemporaryDirectory(prefix="ovl-bench-") as name:
        where = pathlib.Path(name)
        sock, log = where / "sock", where / "log"
        command = ["nbdkit", "-f", "-U", sock,
                   *parameters(ovl, plugin, tree, where)]
        start = time.monotonic()
        with open(log, "wb") as output:
            process = subprocess.Popen([str(c) for c in command],
                                       stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output)
        try:
            with connect(process, sock, log) as nbd:
                replied = time.monotonic()
                peak = high_water(process.pid)
                read_first_block(nbd)
                return {"start_s": replied - start,
                        "first_read_s": time.monotonic() - replied,
                        "peak_rss": peak,
                        "space": space_held(process.pid)}
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait()


def scan(bare_scan, tree):
    start = time.monotonic()
    done = subprocess.run([bare_scan, tree], check=True,
                          stdout=subprocess.PIPE, text=True)
    return time.monotonic() - start, int(done.stdout.split()[0])


def best(runs):
    return {key: min(run[key] for run in runs) for key in runs[0]}


def bench_start(build, tree, runs, plugins=PLUGINS):
    """All of them in turn, run by run; linuxdisk, which copies everything,
    once."""
    scans, seen, failed = [], {plugin: [] for plugin in plugins}, {}
    for number in range(runs):
        scans.append(scan(build / "tests" / "bare_scan", tree))
        for plugin in plugins:
            if plugin in failed or (plugin == "linuxdisk" and number > 0):
                continue
            try:
                seen[plugin].append(measure(build / "ovl.so", plugin, tree))
            except Failed as failure:
                failed[plugin] = str(failure)
    return {
        "objects": scans[0][1], "scan_s": min(taken for taken, _ in scans),
        "plugins": {plugin: {"failed": failed[plugin]} if plugin in failed else
                    {"runs": seen[plugin], "best": best(seen[plugin])}
                    for plugin in plugins}}


def print_start(title, result):
    print(f"\nStart on {title}: {result['objects']} objects; "
          f"bare parallel scan {result['scan_s']:.3f} s")
    row = "  {:13} {:>9} {:>8} {:>13} {:>9} {:>10}"
    print(row.format("plugin", "start s", "/ scan", "first read s",
                     "peak MiB", "space MiB"))
    for plugin, found in result["plugins"].items():
        if "failed" in found:
            line = found["failed"].splitlines() or ["it ends"]
            print(f"  {plugin:13} fails: "
                  f"{line[-1][:100]}")
            continue
        seen = found["best"]
        print(row.format(plugin, f"{seen['start_s']:.3f}",
                         f"{seen['start_s'] / result['scan_s']:.2f}",
                         f"{seen['first_read_s']:.4f}",
                         f"{seen['peak_rss'] / MIB:.1f}",
                         f"{seen['space'] / MIB:.1f}"))


def start_targets(title, result):
    """(what, value, wanted, reached) of each figure that is promised."""
    plugins = {name: found["best"] for name, found in result["plugins"].items()
               if "best" in found}
    own = plugins["ovl"]
    yield (f"{title}: start / bare scan", own["start_s"] / result["scan_s"],
           "<= 2", own["start_s"] <= 2 * result["scan_s"])
    if "floppy" in plugins:
        floppy = plugins["floppy"]["start_s"]
        yield (f"{title}: start / floppy", own["start_s"] / floppy, "<= 1",
               own["start_s"] <= floppy)
    if title == "/usr" and "linuxdisk" in plugins:
        linuxdisk = plugins["linuxdisk"]["start_s"]
        yield (f"{title}: linuxdisk / start", linuxdisk / own["start_s"],
               ">= 50", linuxdisk >= 50 * own["start_s"])
    for plugin in ("ovl", "ovl-writable"):
        if plugin in plugins:
            beyond = max(0, plugins[plugin]["peak_rss"] - 32 * MIB)
            yield (f"{title}: {plugin}: bytes an object beyond 32 MiB",
                   beyond / result["objects"], "<= 160",
                   beyond <= 160 * result["objects"])
