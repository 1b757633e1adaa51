# SPDX-License-Identifier: BSD-3-Clause
"""A small lower tree, and changes of each kind that a guest makes to it."""
import os


def make_lower(lower):
    for number in range(50):
        place = lower / f"d{number % 5}"
        place.mkdir(exist_ok=True)
        (place / f"f{number}").write_bytes(b"%d " % number * 3000)


def change(guest):
    (guest / "new").write_text("new in the guest\n")
    (guest / "d0" / "f0").unlink()
    (guest / "d1").rename(guest / "moved")
    with open(guest / "d2" / "f2", "r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    with open(guest / "big", "wb") as file:
        file.write(os.urandom(3 << 20))
