# SPDX-License-Identifier: BSD-3-Clause
"""`tar c` of the tree, mounted from the device by nbdfuse and a loop device,
beside the same on `nbdkit file` with a raw copy of the image."""
import shutil
import subprocess
import time

import ovltest
from reads import tree_and_image


def seconds_to_tar(mount):
    start = time.monotonic()
    # Through a pipe: tar reads no file when it writes to /dev/null itself.
    subprocess.run("tar c . | cat >/dev/null", shell=True, check=True,
                   cwd=mount)
    return time.monotonic() - start


def measure(space, plugin, *params):
    with ovltest.Server(space, *params, plugin=plugin,
                        options=["-r"]) as server:
        with server.mounted(options="ro") as mount:
            return seconds_to_tar(mount)


def bench_mounted(space, trees, runs):
    """`trees`: title to (count, bytes) of the files."""
    report = {}
    for title, (count, size) in trees.items():
        tree, image = tree_and_image(space, count, size)
        times = {"ovl": [], "file": []}
        for _ in range(runs):
            times["ovl"].append(
                measure(space, ovltest.PLUGIN, f"lowerdir={tree}"))
            times["file"].append(measure(space, "file", image))
        shutil.rmtree(tree.parent)
        best = {name: min(all_times) for name, all_times in times.items()}
        report[title] = {**best, "ratio": best["file"] / best["ovl"]}
    return report


def print_mounted(report):
    print("\ntar c of the mounted tree: seconds, and speed / nbdkit file's")
    for title, seen in report.items():
        if title == "skipped":
            print(f"  SKIPPED: {seen}")
            continue
        print(f"  {title:24} {seen['ovl']:9.3f} {seen['file']:9.3f} "
              f"{seen['ratio']:7.2f}")
