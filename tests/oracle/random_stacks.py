#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Random stacks of two to five layers: the guest, our reader and a copy of the
image show what the kernel's overlay shows, holes included, in both types.

    random_stacks.py [--seed N]... [--fresh N]

A seed makes a stack again; fresh seeds are printed.
"""
import argparse
import filecmp
import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Failure, Server, run, say  # noqa: E402
from random_layers import HandMade, kernel_ops  # noqa: E402
from treecmp import check_same, dump_dir, treedump  # noqa: E402


def fill_layer(space, rng, made):
    layer = space.fresh("layer")
    seed = rng.getrandbits(32)
    if made and rng.random() < 0.4:
        kernel_ops(space, seed, made, layer, rng.choice(["on", "off"]), 80)
    else:
        HandMade(seed, layer, not made, "on").fill()
    return layer


def make_stack(space, seed):
    """Two to five layers, topmost first, that the kernel can read all of."""
    rng = random.Random(seed)
    while True:
        layers = []
        for _ in range(rng.randrange(2, 6)):
            layers.insert(0, fill_layer(space, rng, layers))
        os.sync()  # what is written late may still be a hole
        try:
            with ovltest.overlay(space, layers) as mount:
                return layers, dump_dir(mount, "--holes")
        except Failure as failure:
            say(f"  another stack, the kernel refuses this: {failure}")


def copy_image(server, image):
    run("nbdcopy", f"nbd+unix:///?socket={server.socket}", image)
    return image


def dump_image(space, image):
    where = space.fresh("copy")
    run("mount", "-o", "ro,loop", image, where)
    try:
        return dump_dir(where, "--holes")
    finally:
        ovltest.unmount(where)


def check_type(space, layers, kernel, fs_type):
    parameters = ["lowerdir=" + ":".join(map(str, layers)), f"type={fs_type}"]
    with Server(space, *parameters) as server:
        server.fsck()
        with server.mounted(options="ro") as mount:
            check_same(kernel, dump_dir(mount, "--holes"), "kernel overlay",
                       "guest", f"{fs_type}: guest")
        image = copy_image(server, space.path / "image")
    check_same(kernel, dump_image(space, image), "kernel overlay",
               "copied image", f"{fs_type}: copy")
    with Server(space, *parameters) as server:
        again = copy_image(server, space.path / "image-again")
    ovltest.check(filecmp.cmp(image, again, shallow=False),
                  f"{fs_type}: the same layers made two images")
    image.unlink()
    again.unlink()


def test(space, seeds):
    for seed in seeds:
        layers, kernel = make_stack(space, seed)
        say(f"seed {seed}: {len(layers)} layers, {len(kernel)} objects")
        check_same(kernel, treedump("layers", "--holes", *layers),
                   "kernel overlay", "our reader", "reader")
        for fs_type in ("ext2", "ext4"):
            check_type(space, layers, kernel, fs_type)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, action="append", default=[])
    parser.add_argument("--fresh", type=int, default=0)
    chosen = parser.parse_args()
    ovltest.main(test, chosen.seed + [random.randrange(10**9) for _ in
                                      range(chosen.fresh)])
