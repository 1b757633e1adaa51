# SPDX-License-Identifier: BSD-3-Clause
"""Large files that are mostly holes."""
import os

from ovltest import check

BLOCK = 4096
GIB = 1 << 30


def data_runs(file):
    """Where the file has data, in blocks."""
    runs, at, size = [], 0, os.fstat(file).st_size
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError:
            break
        at = os.lseek(file, start, os.SEEK_HOLE)
        runs.append((start // BLOCK, -(-at // BLOCK)))
    return runs


def check_same_file(host, guest):
    """Size, holes and all data, without reading the holes."""
    with open(host, "rb") as left, open(guest, "rb") as right:
        sizes = [os.fstat(file.fileno()).st_size for file in (left, right)]
        check(sizes[0] == sizes[1], f"{host.name}: sizes {sizes}")
        runs = data_runs(left.fileno())
        seen = data_runs(right.fileno())
        check(runs == seen, f"{host.name}: data at {runs}, in guest at {seen}")
        for start, end in runs:
            parts = [os.pread(file.fileno(), (end - start) * BLOCK,
                              start * BLOCK) for file in (left, right)]
            check(parts[0] == parts[1], f"{host.name}: block {start} differs")
        for at in range(0, sizes[0], sizes[0] // 64 + 1):
            check(os.pread(right.fileno(), 8, at) ==
                  os.pread(left.fileno(), 8, at), f"{host.name}: at {at}")


def pieces(where, size, places):
    with open(where, "wb") as file:
        for number, place in enumerate(places):
            file.seek(place)
            file.write(os.urandom(3000 + number * 700))
        file.truncate(size)
