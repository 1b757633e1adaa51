# SPDX-License-Identifier: BSD-3-Clause
"""A tree that has what tools/demo.sh asks of its lower, and one of each kind
of object besides: made_tree.py DIRECTORY"""
import os
import stat
import sys

FILES = {
    "lib/os-release": "NAME=made\n",
    "share/base-files/profile": "profile\n",
    "share/base-files/motd": "motd\n",
    "share/doc/bash/copyright": "copyright\n" * 500,
    "share/doc/bash/README": "readme\n",
    "share/doc/base-files/changelog": "changes\n" * 5000,
    "share/common-licenses/Artistic": "artistic\n",
    "share/common-licenses/BSD": "bsd\n",
    "share/common-licenses/GPL-2": "GNU 2\n" * 3000,
    "share/common-licenses/GPL-3": "GNU 3\n" * 4000,
    "bin/env": "\x7fELF" * 12000,
}


def make(root):
    for path, text in FILES.items():
        where = os.path.join(root, path)
        os.makedirs(os.path.dirname(where), exist_ok=True)
        with open(where, "w") as file:
            file.write(text)
    os.symlink("GPL-3", os.path.join(root, "share/common-licenses/GPL"))
    os.chmod(os.path.join(root, "bin/env"), 0o755)
    for number in range(300):
        where = os.path.join(root, "lib", f"d{number % 20}", f"f{number}")
        os.makedirs(os.path.dirname(where), exist_ok=True)
        with open(where, "wb") as file:
            file.write(b"%d" % number * (number * 37 % 9000))
        os.utime(where, ns=(number, number * 10**15 + number))
    os.link(os.path.join(root, "lib/d1/f1"), os.path.join(root, "lib/linked"))
    os.mkfifo(os.path.join(root, "lib/fifo"))
    if os.geteuid() == 0:
        os.mknod(os.path.join(root, "lib/null"), stat.S_IFCHR | 0o666,
                 os.makedev(1, 3))
    with open(os.path.join(root, "lib/sparse"), "wb") as file:
        file.seek(5 << 20)
        file.write(b"end")
    os.setxattr(os.path.join(root, "lib/d2"), "user.mark", b"v")


if __name__ == "__main__":
    make(sys.argv[1])
