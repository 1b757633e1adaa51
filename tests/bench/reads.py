# SPDX-License-Identifier: BSD-3-Clause
"""Reading beside `nbdkit file` on a raw copy of the same image."""
import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

MIB = 1 << 20
# What is read, and how nbdcopy asks for it.
TREES = {"4 files of 64 MiB": (4, 64 * MIB), "20 000 files of 4 KiB":
         (20_000, 4096)}
WAYS = {"1 MiB, 1 connection": ["-C", "1", "--request-size", str(MIB)],
        "1 MiB, 4 connections": ["-C", "4", "--request-size", str(MIB)],
        "4 KiB, 4 connections": ["-C", "4", "--request-size", "4096"]}


def make_tree(where, count, size):
    for number in range(count):
        place = where / f"d{number // 500}"
        place.mkdir(exist_ok=True)
        (place / f"f{number}").write_bytes(os.urandom(size))


@contextlib.contextmanager
def served(where, *parameters):
    sock = where / "sock"
    process = subprocess.Popen(["nbdkit", "-f", "-U", str(sock),
                                *map(str, parameters)])
    while not sock.exists():
        time.sleep(0.01)
    try:
        yield f"nbd+unix:///?socket={sock}"
    finally:
        process.terminate()
        process.wait()
        sock.unlink(missing_ok=True)


def seconds_to_copy(uri, options):
    start = time.monotonic()
    subprocess.run(["nbdcopy", *options, uri, "null:"], check=True)
    return time.monotonic() - start


def compare(where, plugin, tree, runs):
    """The two in turn, run by run; the best of each."""
    image = where / "image"
    with served(where, plugin, f"lowerdir={tree}") as uri:
        subprocess.run(["nbdcopy", uri, str(image)], check=True)
    results = {}
    for way, options in WAYS.items():
        times = {"ovl": [], "file": []}
        for _ in range(runs):
            for name, parameters in (
                    ("ovl", [plugin, f"lowerdir={tree}"]),
                    ("file", ["file", image])):
                with served(where, *parameters) as uri:
                    times[name].append(seconds_to_copy(uri, options))
        results[way] = {name: min(all_times)
                        for name, all_times in times.items()}
    return results


def bench_reads(plugin, runs):
    report = {}
    for title, (count, size) in TREES.items():
        with tempfile.TemporaryDirectory(prefix="ovl-bench-") as name:
            where = pathlib.Path(name)
            tree = where / "tree"
            tree.mkdir()
            make_tree(tree, count, size)
            report[title] = compare(where, plugin, tree, runs)
        print(f"\nreading {title}, in the host's cache: ovl s, "
              "file s, speed of file that ovl reaches")
        for way, best in report[title].items():
            print(f"  {way:22} {best['ovl']:8.3f} {best['file']:8.3f} "
                  f"{best['file'] / best['ovl']:6.2f}")
    return report
