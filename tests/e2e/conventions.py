#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What nbdkit and its clients expect of any plugin: names, paths, what a
connection offers, -r, filters. Needs no root."""
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import ovltest  # noqa: E402
from made_tree import make  # noqa: E402
from ovltest import PLUGIN, Server, check, run, say, wait_until  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402

OWNER = "owner=squash"
# These hand requests on, whole, in pieces, or after a while.
FILTERS = {
    "cache": [], "cow": [], "readahead": [], "stats": ["statsfile=/dev/null"],
    "log": ["logfile=/dev/null"], "delay": ["rdelay=1ms"], "exitlast": [],
    "limit": ["limit=9"], "blocksize": ["minblock=512", "maxdata=4096"],
    "blocksize-policy": ["blocksize-error-policy=error"], "fua": [],
    "multi-conn": [], "noextents": [], "noparallel": ["serialize=requests"],
    "nozero": [], "cacheextents": [], "retry": [],
    "checkwrite": [], "nocache": [], "rate": ["rate=10G"],
}


def nbdkit(*arguments):
    return run("nbdkit", "-U", "-", *arguments)


def copy(space, *arguments, how=""):
    """The device as bytes, by nbdcopy through nbdkit with these arguments."""
    image = space.path / "image"
    image.unlink(missing_ok=True)
    nbdkit(*arguments, "--run", f'nbdcopy {how} "$uri" "{image}"')
    return image.read_bytes()


def info(*arguments):
    text = nbdkit(*arguments, "--run", 'nbdinfo --json "$uri"')
    return json.loads(text)["exports"][0]


def expect(found, **wanted):
    for key, value in wanted.items():
        check(found[key] == value, f"{key}: {found[key]} and not {value}")


def writable(space):
    return [f"upperdir={space.dir('upper')}", f"workdir={space.dir('work')}",
            OWNER, "size=+16M"]


def symbols(space, lower):
    """Nothing but the door is exported, and the server is not linked."""
    names = [line.split()[-1] for line in
             run("nm", "-D", "--defined-only", PLUGIN).splitlines()]
    check(names == ["ovl_debug_check", "ovl_debug_whole", "plugin_init"], f"exported: {names}")
    check("libnbdkit" not in run("ldd", PLUGIN), "linked with libnbdkit")


def dump_plugin(space, lower):
    """It works without the parameters that a start requires."""
    for more in ([], ["size=1G"]):
        text = run("nbdkit", PLUGIN, *more, "--dump-plugin")
        found = dict(line.split("=", 1) for line in text.splitlines())
        expect(found, name="ovl", thread_model="parallel",
               errno_is_preserved="1", magic_config_key="lowerdir",
               ovl_types="ext2,ext4", ovl_layers="directory",
               ovl_owner="keep,squash",
               ovl_unrepresentable="record,hold",
               ovl_checkpoint="seconds,sync")
        check(found["ovl_xattr_family"] in ("user", "trusted"), text)
        check(found["ovl_redirect_dir"] in ("on", "off"), text)


def offers(space, lower):
    expect(info(PLUGIN, lower), is_read_only=True, is_rotational=False,
           can_cache=True, can_multi_conn=True, can_trim=False,
           can_zero=False, block_size_preferred=4096)
    found = info(PLUGIN, lower, *writable(space))
    expect(found, is_read_only=False, is_rotational=False, can_cache=True,
           can_flush=True, can_fua=True, can_trim=True, can_zero=True,
           block_size_preferred=4096)
    check(found["block_size_minimum"] <= 512 and
          found["block_size_maximum"] >= 32 << 20, f"{found}")
    check(not os.listdir(space.path / "work"), "asking wrote in workdir")


def bare_paths(space, lower):
    """Paths need no name, and relative ones are the caller's."""
    wanted = copy(space, PLUGIN, f"lowerdir={lower}")
    check(copy(space, PLUGIN, lower) == wanted, "without a name")
    where = os.getcwd()
    os.chdir(lower.parent)
    try:
        run("nbdkit", "-U", space.path / "sock", "-P", space.path / "pid",
            PLUGIN, lower.name)  # goes into the background, and to /
    finally:
        os.chdir(where)
    file = space.path / "pid"
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"), 60,
               "the pid file")
    pid = int(file.read_text())
    image = space.path / "image"
    image.unlink()
    try:
        run("nbdcopy", f"nbd+unix:///?socket={space.path / 'sock'}", image)
        check(image.read_bytes() == wanted, "a relative path")
    finally:
        os.kill(pid, 15)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 60, "nbdkit")


def read_only_option(space, lower):
    """-r with an upper serves it and changes nothing, not even when there is
    something to apply."""
    uri = "nbd+unix:///?socket="
    parameters = [f"lowerdir={lower}", *writable(space)]
    guest = ovltest.BUILD / "tests" / "nbd_guest"
    with Server(space, *parameters) as server:
        subprocess.run([guest, f"{uri}{server.socket}"], check=True, text=True,
                       input="write new content\n")
        server.kill()
    upper, work = space.path / "upper", space.path / "work"
    parameters.append("checkpoint=1")
    before = [dump_dir(upper), dump_dir(work)]
    with Server(space, *parameters, options=["-r"]) as server:
        names = run(guest, f"{uri}{server.socket}", "dump")
        check("/new " in names, "what is kept is not shown")
        time.sleep(2)  # for what is done in the background
    after = [dump_dir(upper), dump_dir(work)]
    for left, right in zip(before, after):
        check_same(left, right, "before", "after", "with -r")
    with Server(space, *parameters) as server:
        run("nbdinfo", server.uri)
    check((upper / "new").read_text() == "content", "not applied without -r")


def descriptors(space, lower):
    """A child of nbdkit has none of ours."""
    text = nbdkit(PLUGIN, lower, *writable(space), "--run",
                  "readlink /proc/$$/fd/*; true")
    check(str(space.path) not in text, f"inherited:\n{text}")


def filters(space, lower):
    wanted = copy(space, PLUGIN, lower)
    for name, more in FILTERS.items():
        command = [f"--filter={name}", PLUGIN, lower, *more]
        seen = copy(space, *command)
        check(seen == wanted, f"other bytes through {name}")
    seen = copy(space, "--filter=offset", PLUGIN, lower, "offset=1024",
                "range=1024")
    check(seen == wanted[1024:2048], "other bytes through offset")
    seen = copy(space, "--filter=ext2", PLUGIN, lower,
                "ext2file=/lib/os-release")
    check(seen == (lower / "lib/os-release").read_bytes(), "through ext2")


def requests(space, lower):
    """Any size, in parallel, with and without what is known of holes."""
    wanted = copy(space, PLUGIN, lower, how="--synchronous")
    for how in ("--request-size=4096 --requests=64 --connections=4",
                "--request-size=33554432", "--no-extents", "--allocated",
                "--connections=8 --threads=4"):
        check(copy(space, PLUGIN, lower, how=how) == wanted, how)


def block_status(space, lower):
    """Holes are reported where there are no bytes, and only there."""
    image = space.path / "image"
    runs = json.loads(nbdkit(
        PLUGIN, lower, "size=+64M", "--run",
        f'nbdcopy --no-extents "$uri" "{image}" && '
        'nbdinfo --map --json "$uri"'))
    data, holes = image.read_bytes(), 0
    check(runs[-1]["offset"] + runs[-1]["length"] == len(data), "the end")
    for run_ in runs:
        if run_["type"] == 3:
            end = run_["offset"] + run_["length"]
            check(not data[run_["offset"]:end].strip(b"\0"), f"{run_}")
            holes += run_["length"]
    check(holes > 64 << 20, f"only {holes} bytes of holes")


def test(space):
    lower = space.dir("lower")
    make(lower)
    for part in (symbols, dump_plugin, offers, bare_paths, read_only_option,
                 descriptors, filters, requests, block_status):
        say(part.__name__)
        with ovltest.Workspace(part.__name__) as inner:
            part(inner, lower)


if __name__ == "__main__":
    ovltest.main(test, needs_root=False)
