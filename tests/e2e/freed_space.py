#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a guest deletes before a checkpoint saw it, and trims not, gives its
space back while the guest is at work; and nothing that is in use is taken for
it, however long before its transaction commits its bytes were written."""
import mmap
import os
import pathlib
import random
import secrets
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import ovltest  # noqa: E402
from kept_case import Case  # noqa: E402
from ovltest import check, run, say, wait_until  # noqa: E402
from treecmp import dump_dir  # noqa: E402

MIB = 1 << 20


def commit(guest, number):
    (guest / "small").write_text(f"{number}\n")
    run("sync", "-f", guest)


def short_lived_files(case):
    """Checkpoints are too rare to see the most of them."""
    with case.server("checkpoint=5") as server:
        with server.mounted("ext4") as guest:
            for number in range(3):
                paths = [guest / f"t{n}" for n in range(8)]
                for path in paths:
                    path.write_bytes(os.urandom(16 * MIB))
                run("sync", "-f", guest)
                for path in paths:
                    path.unlink()
                commit(guest, number)
            most = case.kept()
            deadline = time.monotonic() + 60
            number = 0
            while case.kept() > 64 * MIB:
                check(time.monotonic() < deadline,
                      f"{case.kept() >> 20} MiB are kept")
                number += 1
                commit(guest, number)
                time.sleep(0.5)
            say(f"  {most >> 20} MiB, then {case.kept() >> 20}")
            seen = dump_dir(guest)
        server.fsck()
    case.check_end(seen)


class Commits(threading.Thread):
    def __init__(self, guest):
        super().__init__()
        self.guest, self.is_over = guest, False

    def run(self):
        number = 0
        while not self.is_over:
            commit(self.guest, number)
            number += 1
            time.sleep(0.2)


def write_direct(path, letter, mib):
    """In the device at once, committed later."""
    buffer = mmap.mmap(-1, MIB)
    buffer.write(letter * MIB)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o644)
    try:
        for number in range(mib):
            os.pwrite(file, buffer, number * MIB)
    finally:
        os.close(file)


def check_files(guest, files):
    for name, (letter, mib) in files.items():
        content = (guest / name).read_bytes()
        check(content == letter * (mib * MIB), f"{name} has other bytes")


def uncommitted_bytes_stay(case):
    seed = secrets.randbelow(2**32)
    say(f"  seed {seed}")
    rng, files = random.Random(seed), {}
    with case.server("checkpoint=1") as server:
        with server.mounted("ext4", "commit=60") as guest:
            commits = Commits(guest)
            commits.start()
            end = time.monotonic() + 25
            number = 0
            while time.monotonic() < end:
                name, mib = f"f{number}", rng.randrange(1, 6)
                letter = bytes([97 + number % 26])
                write_direct(guest / name, letter, mib)
                files[name] = (letter, mib)
                number += 1
                while sum(mib for _, mib in files.values()) > 60:
                    gone = rng.choice(list(files))
                    (guest / gone).unlink()
                    del files[gone]
                time.sleep(rng.random() / 10)
            commits.is_over = True
            commits.join()
            run("sync", "-f", guest)
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
            check_files(guest, files)
            say(f"  {number} files")
            seen = dump_dir(guest)
        server.fsck()
    case.check_end(seen)


def test(space):
    for story in (short_lived_files, uncommitted_bytes_stay):
        say(story.__name__)
        story(Case(space))


if __name__ == "__main__":
    ovltest.main(test)
