#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Random requests on four connections against plain arrays, with nbdkit
killed and started again in between: what was acknowledged is there."""
import pathlib
import random
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
sys.path.append("/usr/lib/python3/dist-packages")  # Debian's libnbd
import ovltest  # noqa: E402
from ovltest import Server, check, say  # noqa: E402

try:
    import nbd
except ImportError:
    nbd = None

MIB = 1 << 20
SECTOR = 512
CONNECTIONS = 4
PART = 12 * MIB  # of the device, for each connection
FIRST = 64 * MIB
ROUNDS = 5
STEPS = 150


class Client:
    """One connection, and what its part of the device must hold."""

    def __init__(self, number, seed):
        self.start = FIRST + number * PART
        self.random = random.Random(seed * CONNECTIONS + number)
        self.expected = None
        self.failure = None

    def connect(self, uri):
        self.handle = nbd.NBD()
        self.handle.connect_uri(uri)
        if self.expected is None:
            self.expected = bytearray(self.read_all())
        check(self.read_all() == self.expected, "not what was acknowledged")

    def read_all(self):
        return b"".join(self.handle.pread(MIB, at) for at in
                        range(self.start, self.start + PART, MIB))

    def step(self):
        most = 8192 if self.random.random() < 0.05 else 40
        first = self.random.randrange(PART // SECTOR)
        count = min(self.random.randint(1, most), PART // SECTOR - first)
        at, length = first * SECTOR, count * SECTOR
        place = slice(at, at + length)
        fua = nbd.CMD_FLAG_FUA if self.random.random() < 0.05 else 0
        kind = self.random.choice("wwwwzztrrrf")
        if kind == "w":
            data = self.random.randbytes(length)
            self.handle.pwrite(data, self.start + at, flags=fua)
            self.expected[place] = data
        elif kind in "zt":
            request = self.handle.zero if kind == "z" else self.handle.trim
            request(length, self.start + at, flags=fua)
            self.expected[place] = bytes(length)
        elif kind == "r":
            check(self.handle.pread(length, self.start + at)
                  == self.expected[place], f"wrong bytes at {at}")
        else:
            self.handle.flush()

    def run(self):
        try:
            for _ in range(STEPS):
                self.step()
        except Exception as failure:  # told by the main thread
            self.failure = failure


def one_seed(space, seed):
    say(f"seed {seed}")
    with ovltest.Workspace(f"disk_model-{seed}") as inner:
        lower, upper, work = (inner.dir(n) for n in ("lower", "upper", "work"))
        (lower / "big").write_bytes(random.Random(seed).randbytes(80 * MIB))
        parameters = [f"lowerdir={lower}", f"upperdir={upper}",
                      f"workdir={work}", "size=+256M"]
        clients = [Client(number, seed) for number in range(CONNECTIONS)]
        for _ in range(ROUNDS):
            server = Server(inner, *parameters).start()
            for client in clients:
                client.connect(server.uri)
            threads = [threading.Thread(target=client.run)
                       for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            server.kill()
            for client in clients:
                check(client.failure is None, f"{client.failure}")
        server = Server(inner, *parameters).start()
        for client in clients:
            client.connect(server.uri)
        server.kill()


def test(space, *seeds):
    if nbd is None:
        ovltest.skip("python3-libnbd is not installed")
    for seed in [int(seed) for seed in seeds] or [1, random.randrange(2**32)]:
        one_seed(space, seed)


if __name__ == "__main__":
    ovltest.main(test, *sys.argv[1:], needs_root=False)
