# SPDX-License-Identifier: BSD-3-Clause
"""Reading the device beside `nbdkit file` on a raw copy of the same image, in
the host's cache."""
import contextlib
import pathlib
import subprocess
import tempfile
import time

from trees import make_files

MIB = 1 << 20
CONNECTIONS = (1, 4)
# Bytes of a request, and whether they follow one another.
SHAPES = {"sequential 1 MiB": (MIB, False),
          "sequential 64 KiB": (65536, False),
          "sequential 4 KiB": (4096, False),
          "random 4 KiB": (4096, True)}


@contextlib.contextmanager
def served(where, *parameters):
    sock = where / "sock"
    process = subprocess.Popen(["nbdkit", "-f", "-U", str(sock),
                                *map(str, parameters)])
    try:
        while not sock.exists():
            if process.poll() is not None:
                raise RuntimeError(f"nbdkit ended: {process.returncode}")
            time.sleep(0.01)
        yield f"nbd+unix:///?socket={sock}"
    finally:
        process.terminate()
        process.wait()
        sock.unlink(missing_ok=True)


def seconds_to_read(build, uri, shape, connections, requests):
    size, is_random = SHAPES[shape]
    options = ["--random", str(requests)] if is_random else []
    done = subprocess.run(
        [build / "tests" / "read_device", "--request", str(size),
         "--connections", str(connections), *options, uri],
        check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def copy_image(plugin, tree, image, where):
    with served(where, plugin, f"lowerdir={tree}") as uri:
        subprocess.run(["nbdcopy", uri, str(image)], check=True)


def compare(build, where, tree, runs, requests):
    """Each by a server of its own, in turn, run by run; the best of each."""
    plugin, image = build / "ovl.so", where / "image"
    copy_image(plugin, tree, image, where)
    results = {}
    for shape in SHAPES:
        for connections in CONNECTIONS:
            times = {"ovl": [], "file": []}
            for _ in range(runs):
                for name, served_by in (("ovl", [plugin, f"lowerdir={tree}"]),
                                        ("file", ["file", image])):
                    with served(where, *served_by) as uri:
                        times[name].append(seconds_to_read(
                            build, uri, shape, connections, requests))
            best = {name: min(all_times) for name, all_times in times.items()}
            results[f"{shape}, {connections}"] = {
                **best, "ratio": best["file"] / best["ovl"]}
    return results


def bench_reads(build, trees, runs, requests):
    """`trees`: title to (count, bytes) of the files."""
    report = {}
    for title, (count, size) in trees.items():
        with tempfile.TemporaryDirectory(prefix="ovl-bench-") as name:
            where = pathlib.Path(name)
            tree = make_files(where / "tree", count, size)
            report[title] = {"file_bytes": size, "ways": compare(
                build, where, tree, runs, requests)}
    return report


def print_reads(report):
    for title, result in report.items():
        print(f"\nReading {title}; connections; "
              "seconds, and speed / nbdkit file's")
        row = "  {:20} {:>3} {:>9} {:>9} {:>7}"
        print(row.format("", "", "ovl", "file", "ratio"))
        for way, seen in result["ways"].items():
            shape, connections = way.split(", ")
            print(row.format(shape, connections, f"{seen['ovl']:.3f}",
                             f"{seen['file']:.3f}", f"{seen['ratio']:.2f}"))


def read_targets(report):
    """Files of 1 MiB and more: all shapes; small ones: the streams."""
    for title, result in report.items():
        large = result["file_bytes"] >= MIB
        wanted = 0.95 if large else 0.5
        for way, seen in result["ways"].items():
            if large or way.startswith("sequential"):
                yield (f"{title}: {way}", seen["ratio"], f">= {wanted}",
                       seen["ratio"] >= wanted)
