# SPDX-License-Identifier: BSD-3-Clause
"""Reading the device beside `nbdkit file` on a raw copy of the same image, in
the host's cache."""
import shutil

import ovltest
from trees import make_files

MIB = 1 << 20
CONNECTIONS = (1, 4)
# Bytes of a request, and whether they follow one another.
SHAPES = {"sequential 1 MiB": (MIB, False),
          "sequential 64 KiB": (65536, False),
          "sequential 4 KiB": (4096, False),
          "random 4 KiB": (4096, True)}


def seconds_to_read(server, shape, connections, requests):
    size, is_random = SHAPES[shape]
    options = ["--random", requests] if is_random else []
    return float(ovltest.run(
        ovltest.BUILD / "tests" / "read_device", "--request", size,
        "--connections", connections, *options, uri_of(server)))


def uri_of(server):
    return f"nbd+unix:///?socket={server.socket}"


def compare(space, tree, image, runs, requests):
    """Each by a server of its own, in turn, run by run; the best of each."""
    servers = {"ovl": (ovltest.PLUGIN, f"lowerdir={tree}"),
               "file": ("file", image)}
    results = {}
    for shape in SHAPES:
        for connections in CONNECTIONS:
            times = {name: [] for name in servers}
            for _ in range(runs):
                for name, (plugin, param) in servers.items():
                    with ovltest.Server(space, param, plugin=plugin,
                                        options=["-r"]) as server:
                        times[name].append(seconds_to_read(
                            server, shape, connections, requests))
            best = {name: min(all_times) for name, all_times in times.items()}
            results[f"{shape}, {connections}"] = {
                **best, "ratio": best["file"] / best["ovl"]}
    return results


def tree_and_image(space, count, size):
    """Files, and a raw copy of the image that the plugin makes of them."""
    where = space.fresh("files")
    tree, image = make_files(where / "tree", count, size), where / "image"
    with ovltest.Server(space, f"lowerdir={tree}") as server:
        ovltest.run("nbdcopy", uri_of(server), image)
    return tree, image


def bench_reads(space, trees, runs, requests):
    """`trees`: title to (count, bytes) of the files."""
    report = {}
    for title, (count, size) in trees.items():
        tree, image = tree_and_image(space, count, size)
        report[title] = {"file_bytes": size, "ways": compare(
            space, tree, image, runs, requests)}
        shutil.rmtree(tree.parent)
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
