# SPDX-License-Identifier: BSD-3-Clause
"""tune2fs, debugfs and e2fsck on a file system that nobody has mounted."""
import subprocess

from decode_load import mend
from ovltest import check, run

# After it, in the directory of ours, e2fsck finds nothing wrong.
SOUND = [
    "mkdir new", "rmdir sub", "write {host} written", "symlink short target",
    "symlink long " + "t" * 70, "mknod pipe p", "mknod block b 3 70",
    "mknod large c 300 7000", "ea_set file user.some value",
    "ea_set -f {value} other user.large", "ea_rm tagged user.tag", "rm victim",
    "set_inode_field file mode 0100600", "set_inode_field file uid 70000",
    "set_inode_field other mtime @0x12345678",
    "set_inode_field other generation 77",
    "set_inode_field sub2 generation 78", "set_inode_field file flags {flags}",
    "set_inode_field file size 100000", "punch holed 1 2", "expand_dir sub2",
    "dirty", "set_super_value mnt_count 9",
]
# After it there is damage: to names, or to who has which block.
BROKEN = [
    "ln file linked", "unlink other", "set_inode_field file links_count 5",
    "clri other", "kill_file holed", "unlink sub2",
    "set_inode_field sub2 links_count 4", "set_inode_field holed mode 0140600",
    "set_inode_field file size 100", "set_inode_field file block[0] 30000",
    "freei file", "set_inode_field sub2 block[0] 0",
]
TUNE = [
    ["-L", "a label"], ["-c", "5", "-i", "7"], ["-e", "continue"],
    ["-m", "3"], ["-o", "journal_data_writeback"], ["-E", "stride=4"],
]


class Tools:
    def __init__(self, device, where, rng, has_extents):
        self.device, self.rng = device, rng
        self.flags = "0x80010" if has_extents else "0x10"  # immutable
        self.host, self.value = where / "host", where / "value"
        self.host.write_bytes(rng.randbytes(30000))
        self.value.write_bytes(rng.randbytes(2000))
        self.directory = f"/tools{rng.getrandbits(32)}"

    def run(self):
        self.remake()
        for damage in self.rng.sample(BROKEN, 3):
            for command in self.rng.sample(SOUND, 4):
                self.debugfs(command)
                self.expect(0)
            run("tune2fs", *self.rng.choice(TUNE), self.device)
            self.expect(0)
            self.debugfs(damage)
            self.expect(4)
            mend(self.device, self.rng.choice(("-fy", "-fyD")))
            self.directory += "/again"
            self.remake()
        self.expect(0)

    def expect(self, status):
        """What e2fsck finds, which is what the decoder is to think of it."""
        done = subprocess.run(["e2fsck", "-fn", self.device], text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        check(done.returncode & 5 == status,
              f"e2fsck -fn: exit status {done.returncode}\n{done.stdout}")

    def remake(self):
        """What the commands speak of is there, in a directory of its own."""
        files = ("file", "other", "tagged", "victim", "holed")
        self.debugfs(*(f"write {{host}} {name}" for name in files),
                     "mkdir sub", "mkdir sub2", "ea_set tagged user.tag tag",
                     before=[f"mkdir {self.directory}"])

    def debugfs(self, *commands, before=()):
        script = self.host.with_name("commands")
        lines = [*before, f"cd {self.directory}", *commands]
        script.write_text("\n".join(lines).format(
            host=self.host, value=self.value, flags=self.flags) + "\n")
        done = subprocess.run(["debugfs", "-w", "-f", script, self.device],
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        said = [line for line in done.stderr.splitlines()
                if line and not line.startswith("debugfs ")]
        check(done.returncode == 0 and not said,
              f"debugfs: {lines}: {done.stderr}")
