# SPDX-License-Identifier: BSD-3-Clause
"""Manifests of trees, and what differs between two of them."""
import re
import subprocess

from ovltest import Failure, TREEDUMP

FIELDS = ("path", "type", "mode", "uid", "gid", "mtime", "rdev", "size",
          "links", "xattrs", "target", "content", "flags", "holes")
SHOWN = 20
# The second names under which XFS lists ACLs; a device does not show them.
ACL_TWIN = re.compile(r",trusted\.SGI_ACL_(FILE|DEFAULT)=[0-9a-f]*")


def treedump(*arguments):
    """The manifest as a list of lines."""
    done = subprocess.run([str(TREEDUMP), *map(str, arguments)], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Failure(f"treedump {' '.join(map(str, arguments))}: "
                      f"{done.stderr}")
    return ACL_TWIN.sub("", done.stdout).splitlines()


def dump_dir(path, *options):
    return treedump("dir", path, "--exclude", "lost+found", *options)


def _by_path(lines):
    return {line.split(" ", 1)[0]: line for line in lines}


def _describe(path, left, right, names):
    if left is None or right is None:
        return f"  {path}: only in {names[0] if left else names[1]}: " \
            + (left or right)
    changed = [f"{field}: {a} | {b}" for field, a, b in
               zip(FIELDS, left.split(" "), right.split(" ")) if a != b]
    return f"  {path}: " + "; ".join(changed)


def differences(left_lines, right_lines, names):
    """One line of text for each object that differs."""
    if left_lines == right_lines:
        return []
    left, right = _by_path(left_lines), _by_path(right_lines)
    return [_describe(path, left.get(path), right.get(path), names)
            for path in sorted(left.keys() | right.keys())
            if left.get(path) != right.get(path)]


def check_same(left_lines, right_lines, left_name, right_name, context=""):
    found = differences(left_lines, right_lines, (left_name, right_name))
    if not found:
        return
    more = f"\n  ... and {len(found) - SHOWN} more" * (len(found) > SHOWN)
    raise Failure(
        f"{left_name} | {right_name}: {len(found)} objects differ"
        f"{f' ({context})' if context else ''}\n"
        + "\n".join(found[:SHOWN]) + more)
