# SPDX-License-Identifier: BSD-3-Clause
"""A device whose log and store are weighed while a kernel's guest works."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import ovltest  # noqa: E402
from ovltest import Server  # noqa: E402
from treecmp import check_same, dump_dir  # noqa: E402


class Case:
    def __init__(self, space):
        self.space = space
        self.lower, self.upper, self.work = (
            space.fresh(name) for name in ("lower", "upper", "work"))
        (self.lower / "lower").write_text("below\n")

    def server(self, *params):
        return Server(self.space, f"lowerdir={self.lower}",
                      f"upperdir={self.upper}", f"workdir={self.work}",
                      "size=+512M", *params, options=["-D", "ovl.check=1"])

    def kept(self):
        """Bytes that the host's disk has for log and store."""
        state = self.work / "ovl"
        files = [state / "blocks", *(state / "log").iterdir()]
        return sum(file.stat().st_blocks * 512 for file in files
                   if file.name != "ballast")

    def check_end(self, seen):
        with ovltest.overlay(self.space, [self.lower], self.upper) as merged:
            check_same(dump_dir(merged), seen, "kernel overlay", "guest")
