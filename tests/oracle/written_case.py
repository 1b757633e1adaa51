# SPDX-License-Identifier: BSD-3-Clause
"""A case of conformance.py: layers, what a guest does, and what upper is then.

`lower` is a shell script where L1 and L2 are, `start` one in upper, or, where
upper begins empty, in the guest; `change` is what the guest does, a step behind
each "; ". `upper` is what upper must then hold, a line an object:

    d path [opaque] [redirect=/...]   f, l, p, s, c, b path   w path (whiteout)
    f path=other (a further name of `other`)

with other overlay attributes named as they are. None stands for an upper
without the case's own directory. `off` is the same for redirect_dir=off where
that differs, `kept` for a checkpoint behind each step, where what becomes
again what a lower has stays in upper (two for on and off), `filled` for that
over an upper that had `start` before, of which more stays. `then` are
conditions that hold in upper. With `by_hand` no guest can make `start`.
"""
import dataclasses
import os
import pathlib
import stat
import subprocess

from ovltest import check

HERE = pathlib.Path(__file__).resolve().parent
HELPERS = """
set -e
file() { mkdir -p "$(dirname "$1")"; printf %s "${2-data of $1}" >"$1"; }
whiteout() { mkdir -p "$(dirname "$1")"; mknod "$1" c 0 0; }
opaque() { mkdir -p "$1"; setfattr -n trusted.overlay.opaque -v y "$1"; }
sock() { python3 -c 'import socket as s, sys
s.socket(s.AF_UNIX).bind(sys.argv[1])' "$1"; }
exchange() { python3 -B -c 'import kernel_calls as k, sys
k.exchange(*sys.argv[1:])' "$@"; }
has() { getfattr -h --absolute-names -n "$1" "$2" >/dev/null 2>&1; }
lacks() { ! has "$@"; }
is() { test "$1" = "$2" || { echo "$1, not $2"; exit 1; }; }
"""
LETTERS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l",
           stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p",
           stat.S_IFSOCK: "s"}
SAME = object()


@dataclasses.dataclass(frozen=True)
class Case:
    """Numbers are those of the checklist in which they were collected; a letter
    tells variants apart, and "also" is none of its."""
    number: str
    name: str
    change: str
    upper: str | None
    lower: str = ""
    start: str = ""
    off: object = SAME
    kept: object = SAME
    filled: object = SAME
    then: str = ""
    by_hand: bool = False

    def __str__(self):
        return f"{self.number} {self.name}"

    def steps(self):
        return self.change.split("; ")

    def expected(self, redirect, is_kept=False, is_filled=False):
        """As UpperText.lines() has it."""
        on, off = self.upper, self.off
        if is_filled and self.filled is not SAME:
            on, off = self.filled, SAME
        elif is_kept and self.kept is not SAME:
            on, off = self.kept if isinstance(self.kept, tuple) \
                else (self.kept, SAME)
        lines = on if redirect == "on" or off is SAME else off
        return sorted(lines.split("; ")) if lines else lines


def shell(where, commands):
    done = subprocess.run(["sh", "-c", HELPERS + commands], cwd=where,
                          env={**os.environ, "PYTHONPATH": HERE, "TZ": "UTC"},
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    check(done.returncode == 0, f"{commands}: {done.stdout}")


class UpperText:
    """The objects beneath a directory of upper, as lines of `Case.upper`."""

    def __init__(self, top, prefix):
        self._top, self._prefix = top, prefix
        self._names = {}  # of each inode with several

    def lines(self, at_rest=True):
        """Sorted; "" when nothing is in it, None when it is not there. At rest
        no file has a name in staging any more."""
        if not self._top.exists():
            return None
        paths = sorted(pathlib.Path(where) / name
                       for where, dirs, files in os.walk(self._top)
                       for name in dirs + files)
        found = sorted(map(self._line, paths))
        return found + [f"{names[0]} has names elsewhere"
                        for count, names in self._names.values()
                        if count != len(names) and at_rest] or ""

    def _line(self, path):
        st = os.lstat(path)
        shown = str(path.relative_to(self._top))
        if stat.S_ISCHR(st.st_mode) and st.st_rdev == 0:
            return f"w {shown}"
        if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1:
            shown = self._add_name(st, shown)
        return " ".join([LETTERS[stat.S_IFMT(st.st_mode)], shown,
                         *self._notes(path)])

    def _add_name(self, st, path):
        names = self._names.setdefault(st.st_ino, (st.st_nlink, []))[1]
        names.append(path)
        return path if len(names) == 1 else f"{path}={names[0]}"

    def _notes(self, path):
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            if not name.startswith(self._prefix):
                continue
            value = os.getxattr(path, name, follow_symlinks=False).decode(
                errors="replace")
            short = name.removeprefix(self._prefix)
            if short == "opaque" and value == "y":
                yield short
            elif short == "redirect":
                yield f"{short}={value.removeprefix(f'/{self._top.name}')}"
            elif short == "protattr":
                yield f"{short}={value}"
            else:
                yield name
