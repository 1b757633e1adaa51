# SPDX-License-Identifier: BSD-3-Clause
"""Layers made by hand, object by object."""
import os
import stat

OPAQUE = "trusted.overlay.opaque"
REDIRECT = "trusted.overlay.redirect"
WHITEOUT = "trusted.overlay.whiteout"
METACOPY = "trusted.overlay.metacopy"


class Layer:
    """Makes objects in one layer; directories above are made as needed."""

    def __init__(self, root):
        self.root = root

    def at(self, path):
        where = self.root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        return where

    def file(self, path, data=b"", mode=0o644):
        self.at(path).write_bytes(data.encode()
                                  if isinstance(data, str) else data)
        os.chmod(self.at(path), mode)

    def dir(self, path, mode=0o755, opaque=None, redirect=None):
        self.at(path).mkdir(exist_ok=True)
        os.chmod(self.at(path), mode)
        if opaque is not None:
            self.xattr(path, OPAQUE, opaque)
        if redirect is not None:
            self.xattr(path, REDIRECT, redirect)

    def link(self, old, new):
        os.link(self.at(old), self.at(new), follow_symlinks=False)

    def symlink(self, path, target):
        os.symlink(target, self.at(path))

    def node(self, path, mode, major=0, minor=0):
        os.mknod(self.at(path), mode, os.makedev(major, minor))

    def whiteout(self, path):
        self.node(path, stat.S_IFCHR)

    def xattr(self, path, name, value=b""):
        os.setxattr(self.at(path), name, value, follow_symlinks=False)

    def times(self, path, seconds, nanoseconds=0):
        when = seconds * 10**9 + nanoseconds
        os.utime(self.at(path), ns=(when, when), follow_symlinks=False)

    def owner(self, path, uid, gid):
        os.chown(self.at(path), uid, gid, follow_symlinks=False)
