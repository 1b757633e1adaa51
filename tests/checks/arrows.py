#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks the arrows between folders: who may include whom, and which folder
alone may know a library. Prints each include that breaks one."""

import pathlib
import re
import sys

# Folder -> folders whose headers its files may include, besides its own.
MAY_INCLUDE = {
    "fsengine/base": [],
    "fsengine/overlay": ["fsengine/base"],
    "fsengine/store": ["fsengine/base"],
    "fsengine/device": ["fsengine/base", "fsengine/overlay",
                        "fsengine/store", "images"],
    "images": ["fsengine/base"],
    "plugin": ["fsengine/base", "fsengine/device"],
    "tools": ["fsengine/base", "fsengine/overlay", "fsengine/store",
              "fsengine/device", "images"],
}

# Prefix of a system header -> the only folders that may include it.
KNOWN_ONLY_TO = {
    "ext2fs/": ["images"],
    "et/com_err": ["images"],
    "nbdkit-plugin.h": ["plugin"],
    "libnbd.h": ["tools"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def folder_of(path):
    """The folder of the table that holds `path`, or None."""
    inside = [f for f in MAY_INCLUDE if path.startswith(f + "/")]
    return max(inside, key=len, default=None)


def complaint(folder, quote, header):
    """What is wrong with this include in `folder`, or None."""
    if quote == "<":
        for prefix, folders in KNOWN_ONLY_TO.items():
            if header.startswith(prefix) and folder not in folders:
                return f"<{header}> is known only to {', '.join(folders)}"
        return None
    target = folder_of(header)
    if target is None:
        return f'"{header}" is not a path from the root to a header of ours'
    if target != folder and target not in MAY_INCLUDE[folder]:
        return f'{folder} may not include "{header}"'
    return None


def check_file(path):
    folder = folder_of(path.as_posix())
    bad = 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        wrong = match and complaint(folder, match[1], match[2])
        if wrong:
            print(f"{path}:{number}: {wrong}")
            bad += 1
    return bad


def main():
    files = [path for folder in MAY_INCLUDE
             for path in sorted(pathlib.Path(folder).rglob("*"))
             if path.suffix in (".h", ".cc")]
    if not files:
        sys.exit("arrows: no sources found: run from the top of the sources")
    bad = sum(check_file(path) for path in files)
    print(f"{len(files)} files, {bad} includes against the arrows")
    sys.exit(1 if bad else 0)


main()
