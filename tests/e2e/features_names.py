# SPDX-License-Identifier: BSD-3-Clause
"""Features of the overlay that are about names and directories."""
import errno
import itertools
import os
import random
import shutil

from dir_stream import DirStream
from feature_case import (SECONDS, Case, check_untouched, fill, refused,
                          states_of, sync)
from ovltest import check, run, wait_until
from treecmp import dump_dir


def rename_to_self(space):
    """It does nothing, and so nothing is copied up."""
    case = Case(space)
    fill(case.lower, "file dir/file one")
    os.link(case.lower / "one", case.lower / "other")
    with case.served() as guest:
        before = dump_dir(guest)
        for name in ("file", "dir", "dir/file"):
            (guest / name).rename(guest / name)
        (guest / "one").rename(guest / "other")  # two names of one file
        check(dump_dir(guest) == before, "something changed")
        (guest / "witness").touch()
        case.settle(guest)
        case.expect_upper({"witness": "f"})


def whiteout_after_rename(space):
    """The old name is hidden, and not for longer than it must be."""
    case = Case(space)
    fill(case.lower, "f g h D/x D/s/y")
    with case.served("redirect_dir=on") as guest:
        (guest / "f").rename(guest / "f2")
        (guest / "g").rename(guest / "h")
        (guest / "D").rename(guest / "E")
        case.settle(guest)
        case.expect_upper({"D": "w", "E": "d redirect", "f": "w", "f2": "f",
                           "g": "w", "h": "f"})
        check(sorted(set(os.listdir(guest)) - {"lost+found"}) ==
              ["E", "f2", "h"], "an old name is listed")
        (guest / "f2").rename(guest / "f")
        (guest / "E").rename(guest / "D")
        fill(guest, "g")
        seen = case.settle(guest)
        kinds = {path.name: path.is_char_device()
                 for path in case.upper.iterdir()}
        check(kinds.keys() <= {"D", "f", "g", "h"} and
              not any(kinds.values()), f"left in upper: {kinds}")
        seen = dump_dir(guest)
    case.check_end(seen)


def renamed_directory_stays_merged_where_attributes_fill_it(space):
    """ext4 has no room for the redirect then, but for one of the guest's."""
    case = Case(space)
    name = "D" * 200
    fill(case.lower, f"{name}/x")
    large = b"l" * 3990
    with case.server("redirect_dir=on") as server:
        with server.mounted() as guest:
            os.setxattr(guest / name, "user.large", large)
            os.setxattr(guest / name, "user.small", b"s")
            case.settle(guest)
            (guest / name).rename(guest / "E")
            sync(guest)
            wait_until(lambda: (case.upper / "E").exists(), SECONDS, "E")
            wait_until(lambda: "user.large cannot be there" in server.log(),
                       SECONDS, "what is said of it")
            check(os.getxattr(guest / "E", "user.large") == large, "in guest")
    case.expect_upper({name: "w", "E": "d redirect"})
    with case.overlay() as mount:
        check(os.listdir(mount / "E") == ["x"], "it is not merged any more")
        check(os.listxattr(mount / "E") == ["user.small"], "attributes")


def unlink_and_rmdir_of_merged_lower_and_upper_objects(space):
    """A whiteout where a lower has the name, and nothing where it has not."""
    case = Case(space)
    fill(case.lower, "both both.d/low lower lower.d2/x")
    for name in ("empty.both", "empty.lower"):
        (case.lower / name).mkdir()
    with case.served() as guest:
        fill(guest, "both both.d/up upper")
        (guest / "upper.d").mkdir()
        (guest / "empty.both").chmod(0o700)
        case.settle(guest)
        case.expect_upper({
            "both": "f", "both.d": "d", "both.d/up": "f", "empty.both": "d",
            "upper": "f", "upper.d": "d opaque"})
        for name in ("both.d", "lower.d2"):
            refused((guest / name).rmdir, errno.ENOTEMPTY)
            refused((guest / name).unlink, errno.EISDIR)
        refused((guest / "both").rmdir, errno.ENOTDIR)
        for name in ("both", "upper", "lower", "both.d/low", "both.d/up",
                     "lower.d2/x"):
            (guest / name).unlink()
        for name in ("upper.d", "empty.both", "empty.lower", "both.d",
                     "lower.d2"):
            (guest / name).rmdir()
        case.settle(guest)
        case.expect_upper(dict.fromkeys(
            ("both", "both.d", "empty.both", "empty.lower", "lower",
             "lower.d2"), "w"))
        fill(guest, "both.d lower")  # what was there is not there again
        (guest / "both").mkdir()
        (guest / "lower.d2").mkdir()
        case.settle(guest)
        case.expect_upper({
            "both": "d opaque", "both.d": "f", "empty.both": "w",
            "empty.lower": "w", "lower": "f", "lower.d2": "d opaque"})
        seen = dump_dir(guest)
    case.check_end(seen)


def make_large_merged_directory(case, count):
    """Some names in both layers, some hidden by the top one; what shows."""
    top, below = (lower / "large" for lower in case.lowers)
    names = {f"name-{number}-{'x' * (number % 90)}" for number in range(count)}
    for place in (top, below):
        place.mkdir()
    for number, name in enumerate(sorted(names)):
        for place in ((top,), (below,), (top, below))[number % 3]:
            (place / name).touch()
    hidden = {name for name in sorted(names)[1:200:3]}
    for name in hidden:
        os.mknod(top / name, 0o020000, 0)
    return names - hidden


def readdir_and_seek_in_a_large_merged_directory(space):
    """Each name once, from any place of it, also behind a copy-up."""
    case = Case(space, lowers=2)
    names = make_large_merged_directory(case, 4000)
    with case.served() as guest, DirStream(guest / "large") as stream:
        found, places = [], [stream.tell()]
        for name in stream:
            found.append(name)
            places.append(stream.tell())
        check(len(found) == len(names) and set(found) == names,
              f"{len(found)} names and not {len(names)}")
        for place in random.Random(1).sample(range(len(found)), 300):
            stream.seek(places[place])
            check(list(itertools.islice(stream, 3)) == found[place:place + 3],
                  f"another name at place {place}")
        half = len(found) // 2
        for name in found[:half]:
            (guest / "large" / name).unlink()
        fill(guest, "large/.copied-up")
        case.settle(guest)
        stream.seek(places[half])
        rest = [name for name in stream if name != ".copied-up"]
        check(rest == found[half:], f"{len(rest)} names from the middle")


def rm_rf_of_a_large_merged_directory(space):
    """All of it goes, and upper has one name for it."""
    case = Case(space, lowers=2)
    make_large_merged_directory(case, 4000)
    fill(case.lower, "large/sub/one large/sub/two kept")
    with case.served() as guest:
        fill(guest, "large/sub/three")
        case.settle(guest)
        run("rm", "-rf", guest / "large")
        check(not (guest / "large").exists(), "it is still there")
        seen = case.settle(guest)
        case.expect_upper({"large": "w"})
    case.check_end(seen)


def rm_rf_of_a_directory_that_is_copied_up_between_opendir_and_readdir(space):
    """Whoever began to read it before reads what is in it, all of it."""
    case = Case(space, lowers=2)
    names = make_large_merged_directory(case, 3000)
    with case.served() as guest:
        for begun in (0, 100):
            names = copy_up_and_empty(case, guest, names, begun)
        (guest / "large").rmdir()
        seen = case.settle(guest)
        case.expect_upper({"large": "w"})
    case.check_end(seen)


def copy_up_and_empty(case, guest, names, begun):
    """With `begun` names read before the directory is copied up. It ends
    empty, but for as many new names as a second time needs."""
    large = guest / "large"
    with DirStream(large) as stream:
        found = list(itertools.islice(stream, begun))
        large.chmod(0o711 + begun % 2)
        (large / sorted(names)[-1]).write_text("copied up\n")
        case.settle(guest)
        found += stream
    check(len(found) == len(names) and set(found) == names,
          f"{len(found)} names and not {len(names)}")
    for name in found:
        (large / name).unlink()
    if begun:
        return set()
    fill(large, " ".join(sorted(names)[:2000]))
    return set(sorted(names)[:2000])


def links_of(guest):
    """{directory: its link count}, each of which must be right."""
    counts = {}
    for where, below, _ in os.walk(guest):
        counts[os.path.relpath(where, guest)] = count = os.stat(where).st_nlink
        check(count == 2 + len(below),
              f"{where}: {count} links, {len(below)} directories in it")
    return counts


def exact_link_counts_of_directories(space):
    """Two and one for each directory in it, merged or not."""
    case = Case(space, lowers=2)
    fill(case.lowers[0], "m/top/f m/both/f plain/a/f")
    fill(case.lowers[1], "m/low/f m/both/g m/gone/f n/f")
    os.mknod(case.lowers[0] / "m/gone", 0o020000, 0)
    with case.served("redirect_dir=on") as guest:
        check(links_of(guest)["m"] == 5, "m has three directories")
        (guest / "m/new").mkdir()
        (guest / "m/low").rename(guest / "n/low")
        shutil.rmtree(guest / "plain/a")
        case.settle(guest)
        fill(guest, "m/gone/again m/new/deep/f")
        seen = case.settle(guest)
        counts = links_of(guest)
    case.check_end(seen)
    with case.served() as guest:
        check(links_of(guest) == counts, "other counts after a restart")


def symlinks_during_copy_up(space):
    """A link is copied up as a link, what it points to as what it is, and
    nothing on the host is reached through one."""
    case = Case(space)
    outside = space.dir("outside")
    fill(outside, "f")
    before = states_of(outside)
    fill(case.lower, "d/f d/g t swapped/f")
    for name, target in {"to-f": "d/f", "to-d": "d", "dangling": "none",
                         "long": "x" * 300, "away": f"{outside}/f"}.items():
        os.symlink(target, case.lower / name)
    with case.served() as guest:
        (guest / "to-f").write_text("through a link\n")
        (guest / "to-d/g").write_text("through a directory's\n")
        os.chown(guest / "long", 5, 6, follow_symlinks=False)
        os.utime(guest / "away", ns=(5, 6), follow_symlinks=False)
        (guest / "dangling").rename(guest / "moved")
        case.settle(guest)
        case.expect_upper({
            "away": "l", "d": "d", "d/f": "f", "d/g": "f", "dangling": "w",
            "long": "l", "moved": "l"})
        (guest / "swapped/f").write_text("copied up\n")
        case.settle(guest)
        shutil.rmtree(guest / "swapped")
        os.symlink(outside, guest / "swapped")
        seen = case.settle(guest)
    case.check_end(seen)
    check_untouched(before, outside, "outside was written to")
