#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writing beside `nbdkit file` on a raw image of the same start, on the same
disk, in the same run: through libnbd, and as root through a mount.

    tests/bench/writes.py [--runs N] [--json FILE] [--mib N] [--dir DIR]
                          [--only PART_OF_A_TITLE]

Prints, for each way of writing, what both reach, the median of the runs, and
the ratio (above 1: ovl is faster), the median of what ovl and file reached one
right after the other, so that a machine that is busy at times does not show;
then how long a restart takes with so much live log, and a trim of 100 GiB.
Needs fio and nbdcopy.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OVL_BUILD_DIR", REPO / "build")).resolve()
SIZE = "8G"
# Title -> fio's job, how it is counted, and the ratio to reach.
WAYS = {
    "sequential 1 MiB": ({"rw": "write", "bs": "1M"}, "bw", 0.9),
    "random 4 KiB": ({"rw": "randwrite", "bs": "4k"}, "iops", 0.9),
    "sequential 1 MiB over itself":
        ({"rw": "write", "bs": "1M", "first": "write"}, "bw", 0.9),
    "4 KiB + flush": ({"rw": "randwrite", "bs": "4k", "fsync": "1",
                       "io_size": "8m"}, "iops", 1.0),
    "mixed 70/30 4 KiB": ({"rw": "randrw", "rwmixread": "70", "bs": "4k",
                           "io_size": "64m"}, "iops", 0.9),
    "re-read dirty 4 KiB": ({"rw": "randread", "bs": "4k", "first": "write"},
                            "iops", 0.9),
}


@contextlib.contextmanager
def served(where, *parameters):
    """nbdkit on a socket; killed at the end, for no write-back is measured."""
    sock = where / "sock"
    sock.unlink(missing_ok=True)
    process = subprocess.Popen(
        ["nbdkit", "-f", "-U", str(sock), *map(str, parameters)])
    try:
        while not sock.exists():
            if process.poll() is not None:
                raise RuntimeError("nbdkit ended at its start")
            time.sleep(0.002)
        yield f"nbd+unix:///?socket={sock}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def ovl(where):
    for name in ("lower", "upper", "work"):
        shutil.rmtree(where / name, ignore_errors=True)
        (where / name).mkdir()
    (where / "lower" / "file").write_text("a")
    return [BUILD / "ovl.so", f"lowerdir={where / 'lower'}",
            f"upperdir={where / 'upper'}", f"workdir={where / 'work'}",
            f"size={SIZE}"]


def raw(where):
    image = where / "image"
    image.unlink(missing_ok=True)
    with open(image, "wb") as file:
        file.truncate(int(SIZE[:-1]) << 30)
    return ["file", image]


def fio(uri, connections, options):
    """The sums of fio's jobs: bytes a second and operations a second."""
    command = ["fio", "--output-format=json", "--ioengine=nbd",
               f"--uri={uri}", f"--numjobs={connections}", "--iodepth=8",
               "--name=job", "--group_reporting=1", "--randrepeat=1",
               "--offset=1g", "--offset_increment=1g"]
    command += [f"--{key}={value}" for key, value in options.items()]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    job = json.loads(out.stdout[out.stdout.index("{"):])["jobs"][0]
    parts = [job["read"], job["write"]]
    return {"bw": sum(part["bw_bytes"] for part in parts),
            "iops": sum(part["iops"] for part in parts)}


def once(server, where, connections, job, mib):
    options = {"size": f"{mib}m", **job}
    first = options.pop("first", None)
    with served(where, *server(where)) as uri:
        if first:
            fio(uri, connections, {"size": f"{mib}m", "rw": first, "bs": "1M"})
        return fio(uri, connections, options)


def compare(where, runs, mib):
    report = {}
    print("writing: ovl, file, ratio, to reach")
    for title, (job, unit, target) in WAYS.items():
        for connections in (1, 4):
            key = f"{title}, {connections} conn."
            report[key] = told(key, unit, target, paired(
                runs, raw, lambda server: once(server, where, connections, job,
                                               mib // connections)[unit]))
    return report


def paired(runs, other, measure):
    """What `measure` gives for ovl and for `other`, in turn, run by run; each
    is the first one of the two every other time."""
    pairs = []
    for run in range(runs):
        order = (ovl, other) if run % 2 == 0 else (other, ovl)
        figures = {server: measure(server) for server in order}
        pairs.append((figures[ovl], figures[other]))
    return pairs


@contextlib.contextmanager
def looped(file):
    """A loop device of the file. Past the page cache: what the kernel lets a
    FUSE file have there grows from nothing in the first seconds, which one
    would measure instead of the device."""
    device = subprocess.run(["losetup", "--find", "--show", "--direct-io=on",
                             file], check=True, capture_output=True,
                            text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextlib.contextmanager
def mounted(where, uri):
    """The device mounted by the kernel, by way of nbdfuse and a loop device."""
    disk, mount = where / "disk", where / "mount"
    disk.mkdir(exist_ok=True)
    mount.mkdir(exist_ok=True)
    fuse = subprocess.Popen(["nbdfuse", str(disk), uri])
    try:
        while not (disk / "nbd").exists():
            time.sleep(0.01)
        with looped(disk / "nbd") as device:
            subprocess.run(["mount", device, mount], check=True)
            try:
                yield mount
            finally:
                subprocess.run(["umount", mount], check=True)
    finally:
        subprocess.run(["fusermount3", "-u", disk], check=False)
        fuse.wait()


# Title -> fio's options for a file in the mount.
MOUNT_WAYS = {
    "mount: sequential 1 MiB, fsync at the end":
        ({"rw": "write", "bs": "1M", "size": "512m", "end_fsync": "1"},
         "bw", 0.9),
    "mount: 4 KiB + fsync":
        ({"rw": "randwrite", "bs": "4k", "size": "64m", "io_size": "4m",
          "fsync": "1"}, "iops", 1.0),
}


def copy_of_start(where):
    """The raw image that `nbdkit file` serves: the same file system."""
    image = where / "image"
    image.unlink(missing_ok=True)
    with served(where, *ovl(where)) as uri:
        subprocess.run(["nbdcopy", uri, image], check=True)
    return ["file", image]


def write_mounted(server, where, job):
    """fio's figures for writing to a file in the mount."""
    with served(where, *server(where)) as uri, mounted(where, uri) as mount:
        out = subprocess.run(
            ["fio", "--output-format=json", "--ioengine=psync",
             f"--directory={mount}", "--name=job",
             *(f"--{key}={value}" for key, value in job.items())],
            check=True, capture_output=True, text=True)
    text = out.stdout[out.stdout.index("{"):]
    done = json.loads(text)["jobs"][0]["write"]
    return {"bw": done["bw_bytes"], "iops": done["iops"]}


def compare_mounts(where, runs):
    return {title: told(title, unit, target, paired(
                runs, copy_of_start,
                lambda server: write_mounted(server, where, job)[unit]))
            for title, (job, unit, target) in MOUNT_WAYS.items()}


def told(title, unit, target, pairs):
    """Prints the medians, and gives them back."""
    scale, name = (1e6, "MB/s") if unit == "bw" else (1, "op/s")
    ours, theirs = (statistics.median(each) for each in zip(*pairs))
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"  {title:42} {ours / scale:10.0f} {theirs / scale:10.0f} {name} "
          f"{ratio:6.2f} {target:4.1f}"
          f"{'' if ratio >= target else '  not reached'}", flush=True)
    return {"ovl": ours, "file": theirs, "ratio": ratio, "pairs": pairs,
            "unit": unit, "target": target}


def log_bytes(where):
    """Blocks of the log that are in use cannot be told from outside: files."""
    files = (where / "work" / "ovl" / "log").glob("*")
    return sum(file.stat().st_size for file in files)


def restarts(where):
    print("restart after a kill: MiB of log, seconds to the first reply")
    report = []
    parameters = ovl(where)
    for mib in (64, 256, 1024):
        with served(where, *parameters) as uri:
            fio(uri, 1, {"size": f"{mib}m", "rw": "write", "bs": "1M"})
        start = time.monotonic()
        with served(where, *parameters) as uri:
            subprocess.run(["nbdinfo", "--size", uri], check=True,
                           capture_output=True)
            seconds = time.monotonic() - start
        report.append({"log_bytes": log_bytes(where), "seconds": seconds})
        print(f"  {log_bytes(where) >> 20:8} {seconds:8.3f}")
    return report


def big_trim(where):
    parameters = ovl(where)[:-1] + ["size=200G"]
    script = ("import sys, nbd, time\n"
              "h = nbd.NBD(); h.connect_uri(sys.argv[1])\n"
              "start = time.monotonic()\n"
              "for at in range(0, 100, 2):\n"
              "    h.trim(2 << 30, (50 + at) << 30)\n"
              "h.flush()\n"
              "print(time.monotonic() - start)\n")
    with served(where, *parameters) as uri:
        out = subprocess.run(["/usr/bin/python3", "-c", script, uri],
                             check=True, capture_output=True, text=True)
    print(f"trim of 100 GiB and a flush: {float(out.stdout):.3f} s")
    return float(out.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--dir", type=pathlib.Path)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    if arguments.only:
        for ways in (WAYS, MOUNT_WAYS):
            for title in [way for way in ways if arguments.only not in way]:
                del ways[title]
    with tempfile.TemporaryDirectory(prefix="ovl-bench-",
                                     dir=arguments.dir) as name:
        where = pathlib.Path(name)
        report = {"writes": compare(where, arguments.runs, arguments.mib)}
        if os.geteuid() == 0:
            report["mounts"] = compare_mounts(where, arguments.runs)
        if not arguments.only:
            report["restarts"] = restarts(where)
            report["trim_100_gib_seconds"] = big_trim(where)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
