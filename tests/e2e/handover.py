#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Upper provides what it has: log and store need not keep it, and the guest
reads the same, whatever it does to its files meanwhile."""
import contextlib
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
from ovltest import Failure, check, run, say, wait_until  # noqa: E402
from treecmp import dump_dir  # noqa: E402

MIB = 1 << 20
PAGE = 4096


def forget_pages():
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")


def has_size(path, size):
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size == size
    return False


def what_upper_has_is_kept_there_only(case):
    content = os.urandom(96 * MIB)
    with case.server("checkpoint=1") as server:
        with server.mounted("ext4") as guest:
            (guest / "big").write_bytes(content)
            run("sync", "-f", guest)
            wait_until(lambda: has_size(case.upper / "big", len(content)), 60,
                       "a checkpoint")
            wait_until(lambda: case.kept() < 64 * MIB, 60,
                       "the space that log and store had")
            forget_pages()
            check((guest / "big").read_bytes() == content, "other bytes")
            seen = dump_dir(guest)
        server.fsck()
    case.check_end(seen)


def a_file_in_use_without_names(case):
    content = os.urandom(3 * MIB + 5)
    (case.upper / "before").write_bytes(content)
    with case.server("checkpoint=1") as server:
        with server.mounted("ext4") as guest:
            (guest / "made").write_bytes(content)
            run("sync", "-f", guest)
            wait_until(lambda: has_size(case.upper / "made", len(content)), 60,
                       "a checkpoint")
            with open(guest / "made", "rb") as made, \
                    open(guest / "before", "rb") as before:
                (guest / "made").unlink()
                (guest / "before").unlink()
                run("sync", "-f", guest)
                wait_until(lambda: not (case.upper / "made").exists(), 60,
                           "a checkpoint")
                for _ in range(2):
                    forget_pages()
                    check(made.read() == content, "made: other bytes")
                    check(before.read() == content, "before: other bytes")
                    made.seek(0)
                    before.seek(0)
                kept = case.work / "ovl" / "kept"
                check(len(list(kept.iterdir())) == 2, "they are not kept")
            (guest / "after").write_text("closed\n")
            run("sync", "-f", guest)
            wait_until(lambda: not list(kept.iterdir()), 60,
                       "what was kept to go")
            seen = dump_dir(guest)
        server.fsck()
    check("error" not in server.log(), server.log())
    case.check_end(seen)


class Reader(threading.Thread):
    """Reads whole pages of files around the guest's cache: each has its own
    letter throughout, wherever it is."""

    def __init__(self, guest, rng):
        super().__init__()
        self.guest, self.rng = guest, rng
        self.is_over, self.reads, self.wrong = False, 0, []

    def run(self):
        while not self.is_over:
            with contextlib.suppress(FileNotFoundError):
                folder = self.rng.choice(list(self.guest.glob("d?")))
                names = os.listdir(folder)
                if names:
                    self.read(folder / self.rng.choice(names))

    def read(self, path):
        buffer = mmap.mmap(-1, PAGE)
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
        try:  # errors of the device
            pages = os.fstat(file).st_size // PAGE
            at = self.rng.randrange(max(1, pages)) * PAGE
            got = os.preadv(file, [buffer], at)
            letter = path.name[1].encode()
            if bytes(buffer[:got]) != letter * got:
                self.wrong.append(f"{path} at {at}: {bytes(buffer[:40])}")
            self.reads += 1
        except OSError as error:
            self.wrong.append(f"{path}: {error}")
        finally:
            os.close(file)


def work(guest, rng):
    """One change: bytes in place, size, names, a new file for an old one."""
    letter = rng.choice("abcdefgh")
    folders = [path for path in guest.iterdir() if path.name.startswith("d")]
    folder = rng.choice(folders)
    path = folder / f"f{letter}"
    dice = rng.randrange(6)
    if dice == 0:
        target = guest / f"d{rng.randrange(9)}"
        if not target.exists():
            folder.rename(target)
    elif dice == 1 and path.exists():
        pages = path.stat().st_size // PAGE
        os.truncate(path, rng.randrange(pages + 1) * PAGE)
    elif dice == 2 and path.exists():
        path.rename(rng.choice(folders) / path.name)
    elif dice == 3 and path.exists():
        path.unlink()
    else:
        with open(path, "r+b" if path.exists() else "wb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(rng.randrange(size // PAGE + 1) * PAGE)
            file.write(letter.encode() * rng.randrange(1, 40) * PAGE)
            file.flush()
            os.fsync(file.fileno())


def readers_meet_checkpoints(case):
    seed = secrets.randbelow(2**32)
    rng = random.Random(seed)
    for folder in ("d0", "d1"):
        (case.upper / folder).mkdir()
        for letter in "abcdefgh":
            (case.upper / folder / f"f{letter}").write_bytes(
                letter.encode() * 30 * PAGE)
    with case.server("checkpoint=1") as server:
        with server.mounted("ext4") as guest:
            readers = [Reader(guest, random.Random(seed + n)) for n in (1, 2)]
            for reader in readers:
                reader.start()
            end = time.monotonic() + 20
            changes = 0
            while time.monotonic() < end:
                work(guest, rng)
                changes += 1
            for reader in readers:
                reader.is_over = True
                reader.join()
            say(f"  seed {seed}: {changes} changes, "
                f"{sum(reader.reads for reader in readers)} reads")
            wrong = [line for reader in readers for line in reader.wrong]
            check(not wrong, "\n".join(wrong[:10]) + server.log())
            seen = dump_dir(guest)
        server.fsck()
    check("error" not in server.log(), server.log())
    case.check_end(seen)


def test(space):
    for story in (what_upper_has_is_kept_there_only,
                  a_file_in_use_without_names, readers_meet_checkpoints):
        say(story.__name__)
        with ovltest.Workspace(story.__name__) as inner:
            story(Case(inner))


if __name__ == "__main__":
    ovltest.main(test)
