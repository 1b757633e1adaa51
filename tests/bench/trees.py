# SPDX-License-Identifier: BSD-3-Clause
"""The trees that are measured: plain files and directories only, which is what
FAT can hold, too."""
import os


def make_files(where, count, size, per_directory=500):
    """`count` files of `size` bytes that no compression or sharing helps."""
    where.mkdir()
    for number in range(count):
        place = where / f"d{number // per_directory}"
        if number % per_directory == 0:
            place.mkdir()
        (place / f"f{number}").write_bytes(os.urandom(size))
    return where


def make_small_files(where, count):
    """Of 0 to 12 KiB, so that linuxdisk makes enough inodes for them."""
    where.mkdir()
    for number in range(count):
        place = where / f"d{number // 250}"
        if number % 250 == 0:
            place.mkdir()
        (place / f"file-{number}").write_bytes(b"x" * (number * 1237 % 12288))
    return where
