#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Start time and peak memory beside nbdkit's own directory plugins, and
reading beside `nbdkit file` on a copy of the image.

    tests/bench/bench.py [--runs N] [--tree DIR]... [--json FILE] [PLUGIN...]

Each plugin (ovl, ovl-writable, linuxdisk, floppy) serves the same tree in the
same run. Measured are: seconds from starting nbdkit to its first reply to a
client (nbdinfo), seconds to the first 4 KiB read after that, peak resident
memory of nbdkit, and the disk space of the files it holds open for writing,
which for linuxdisk is the copy of everything.
Default trees: /usr, and a small one without symlinks for floppy's sake.
The best of the runs is printed; --json has all. Needs no root for trees that
can be read without.
"""
import argparse
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from reads import bench_reads

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OVL_BUILD_DIR", REPO / "build")).resolve()


class Failed(Exception):
    """The plugin does not serve this tree; the text is what it says."""


def parameters(plugin, tree, where):
    if plugin == "ovl":
        return [BUILD / "ovl.so", f"lowerdir={tree}"]
    if plugin == "ovl-writable":
        for name in ("upper", "work"):
            (where / name).mkdir()
        return [BUILD / "ovl.so", f"lowerdir={tree}",
                f"upperdir={where / 'upper'}", f"workdir={where / 'work'}"]
    return [plugin, f"dir={tree}"]


def first_read(path):
    """Connects, asks for the first 4 KiB, and waits for them."""
    with socket.socket(socket.AF_UNIX) as nbd:
        nbd.connect(str(path))
        stream = nbd.makefile("rwb")
        magic, _, _ = struct.unpack(">8s8sH", stream.read(18))
        assert magic == b"NBDMAGIC"
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


def wait_for_reply(process, sock, log):
    while True:
        if process.poll() is not None:
            raise Failed(log.read_text(errors="replace").strip())
        if sock.exists() and subprocess.run(
                ["nbdinfo", "--size", f"nbd+unix:///?socket={sock}"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.002)


def measure(plugin, tree):
    with tempfile.TemporaryDirectory(prefix="ovl-bench-") as name:
        where = pathlib.Path(name)
        sock, log = where / "sock", where / "log"
        command = ["nbdkit", "-f", "-U", sock,
                   *parameters(plugin, tree, where)]
        start = time.monotonic()
        with open(log, "wb") as output:
            process = subprocess.Popen([str(c) for c in command],
                                       stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output)
        try:
            wait_for_reply(process, sock, log)
            replied = time.monotonic()
            first_read(sock)
            result = {"start_s": replied - start,
                      "first_read_s": time.monotonic() - replied,
                      "peak_rss": high_water(process.pid),
                      "space": space_held(process.pid)}
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait()
        return result


def scan_seconds(tree):
    """The floor: the same tree, read by a bare parallel scan."""
    best, objects = float("inf"), 0
    for _ in range(3):
        start = time.monotonic()
        done = subprocess.run([str(BUILD / "tests" / "bare_scan"), tree],
                              check=True, stdout=subprocess.PIPE, text=True)
        best = min(best, time.monotonic() - start)
        objects = int(done.stdout.split()[0])
    return best, objects


def make_small_tree(where):
    """Plain files and directories only: what FAT can hold."""
    for number in range(5000):
        place = where / f"d{number % 100}"
        place.mkdir(exist_ok=True)
        (place / f"f{number}").write_bytes(b"x" * (number * 7 % 30000))
    return where


def best(runs):
    return {key: min(run[key] for run in runs) for key in runs[0]}


def print_table(tree, objects, results):
    print(f"\n{tree}: {objects} objects")
    row = "{:13} {:>10} {:>7} {:>12} {:>10} {:>7} {:>10}"
    print(row.format("plugin", "start s", "ratio", "first read s", "peak MiB",
                     "ratio", "space MiB"))
    base = results.get("ovl", {}).get("best")
    for plugin, result in results.items():
        if "failed" in result:
            print(f"{plugin:13} fails: {result['failed']}")
            continue
        seen, mib = result["best"], 1 << 20
        ratios = ["{:.2f}".format(seen[key] / base[key]) if base else "-"
                  for key in ("start_s", "peak_rss")]
        print(row.format(
            plugin, f"{seen['start_s']:.3f}", ratios[0],
            f"{seen['first_read_s']:.4f}", f"{seen['peak_rss'] / mib:.1f}",
            ratios[1], f"{seen['space'] / mib:.1f}"))


def bench_tree(tree, args):
    scan, objects = scan_seconds(tree)
    results = {}
    for plugin in args.plugins:
        # linuxdisk copies everything: once is enough of that.
        count = 1 if plugin == "linuxdisk" else args.runs
        try:
            runs = [measure(plugin, tree) for _ in range(count)]
            results[plugin] = {"runs": runs, "best": best(runs)}
        except Failed as failure:
            results[plugin] = {"failed": str(failure)}
    print_table(tree, objects, results)
    print(f"bare parallel scan: {scan:.3f} s")
    return {"objects": objects, "scan_s": scan, "plugins": results}


def main():
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tree", action="append")
    parser.add_argument("--json", default=BUILD / "bench.json")
    parser.add_argument("plugins", nargs="*",
                        default=["ovl", "ovl-writable", "linuxdisk", "floppy"])
    args = parser.parse_args()
    if not (BUILD / "ovl.so").exists():
        sys.exit(f"bench: no {BUILD}/ovl.so: build first")
    with tempfile.TemporaryDirectory(prefix="ovl-bench-tree-") as small:
        trees = args.tree or ["/usr",
                              str(make_small_tree(pathlib.Path(small)))]
        report = {tree: bench_tree(tree, args) for tree in trees}
    report["reads"] = bench_reads(BUILD / "ovl.so", args.runs)
    pathlib.Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nall numbers: {args.json}")


if __name__ == "__main__":
    main()
