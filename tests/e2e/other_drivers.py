#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Drivers that share no code with Linux or libext2fs read the image: GRUB's
(grub-fstest), which follows symlinks, and 7-Zip's. Needs no root."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from made_tree import make  # noqa: E402
from ovltest import Server, check, run, say  # noqa: E402

BLOCK = 4096
# The first block under each level of an ext2 block map, and the last block.
LEVELS = [0, 11, 12, 1035, 1036, 1036 + 1024 ** 2 - 1, 1036 + 1024 ** 2,
          1036 + 1024 ** 2 + 7 * 1024, 1400000]
MANY = 3000
SYMLINKS = {"short": "share/doc/bash/README", "absolute": "/bin/env",
            "long": "./" * 60 + "lib/os-release", "up": "lib/d3/../os-release"}


def make_layer(root):
    make(root)
    with open(root / "levels", "wb") as file:
        for block in LEVELS:
            file.seek(block * BLOCK + 100)
            file.write(b"block %d" % block * 300)
    (root / "many").mkdir()
    for number in range(MANY):
        (root / f"many/file-{number}").write_text(str(number))
    for name, target in SYMLINKS.items():
        (root / name).symlink_to(target)
    os.setxattr(root / "lib/os-release", "user.x", b"v" * 2000)


def image_of(space, layer, *parameters):
    image = space.path / "image"
    image.unlink(missing_ok=True)
    with Server(space, f"lowerdir={layer}", *parameters) as server:
        run("nbdcopy", f"nbd+unix:///?socket={server.socket}", image)
    return image


def grub(image, *command):
    done = subprocess.run(["grub-fstest", *map(str, [image, *command])],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    check(done.returncode == 0, f"grub-fstest {command}: "
          f"{done.stderr.decode(errors='replace')}")
    return done.stdout


def regular_files(layer):
    """All but the large one; some of those that there are many of."""
    for path in sorted(layer.rglob("*")):
        number = path.name.removeprefix("file-").removeprefix("f")
        if path.is_file() and not path.is_symlink() and path.name != "levels" \
                and (not number.isdigit() or int(number) % 100 == 1):
            yield str(path.relative_to(layer))


# GRUB does not know holes before the first extent.
def check_grub(image, layer, fs_type):
    names = [*regular_files(layer), *SYMLINKS]
    if fs_type == "ext4":
        names.remove("lib/sparse")
    for name in names:
        target = layer / SYMLINKS.get(name, name).lstrip("/")
        check(grub(image, "cat", f"/{name}") == target.read_bytes(),
              f"GRUB reads other bytes of {name}")
    listed = grub(image, "ls", "/many/").decode().split()
    check(sorted(listed) == sorted(os.listdir(layer / "many")),
          f"GRUB lists {len(listed)} of {MANY} names")
    with open(layer / "levels", "rb") as file:
        for block in [*LEVELS, 500, 700000]:
            data = os.pread(file.fileno(), BLOCK, block * BLOCK)
            seen = grub(image, "-s", block * BLOCK, "-n", len(data), "cat",
                        "/levels")
            check(seen == data, f"GRUB reads another block {block}")
    say(f"  GRUB: {len(names)} files, {len(listed)} names")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# 7-Zip does not know holes in a block map.
def check_7zip(space, image, layer):
    out = space.path / "extracted"
    run("7zz", "x", "-y", f"-o{out}", "-x!levels", "-x!lib/null",
        "-x!lib/fifo", "-x!lib/sparse", "-x!absolute", "-x!up", image)
    count = 0
    for path in layer.rglob("*"):
        there = out / path.relative_to(layer)
        if path.is_symlink() or not path.is_file() \
                or path.name in ("levels", "sparse"):
            continue
        check(there.is_file() and digest(there) == digest(path),
              f"7-Zip reads other bytes of {path}")
        count += 1
    say(f"  7-Zip: {count} files")
    shutil.rmtree(out)


def test(space):
    layer = space.dir("lower")
    make_layer(layer)
    for fs_type in ("ext2", "ext4"):
        for journal in ("no", "yes"):
            say(f"type={fs_type} journal={journal}")
            image = image_of(space, layer, f"type={fs_type}",
                             f"journal={journal}")
            check_grub(image, layer, fs_type)
            if journal == "no":
                check_7zip(space, image, layer)


if __name__ == "__main__":
    if not shutil.which("grub-fstest") or not shutil.which("7zz"):
        ovltest.skip("this test needs grub-fstest and 7zz")
    ovltest.main(test, needs_root=False)
