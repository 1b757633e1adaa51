# SPDX-License-Identifier: BSD-3-Clause
"""opendir, readdir, telldir and seekdir, which Python has not."""
import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


class _Entry(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64),
                ("reclen", ctypes.c_ushort), ("type", ctypes.c_ubyte),
                ("name", ctypes.c_char * 256)]


def _function(name, result, *arguments):
    call = getattr(_libc, name)
    call.restype, call.argtypes = result, arguments
    return call


_opendir = _function("opendir", ctypes.c_void_p, ctypes.c_char_p)
_readdir = _function("readdir64", ctypes.POINTER(_Entry), ctypes.c_void_p)
_telldir = _function("telldir", ctypes.c_long, ctypes.c_void_p)
_seekdir = _function("seekdir", None, ctypes.c_void_p, ctypes.c_long)
_closedir = _function("closedir", ctypes.c_int, ctypes.c_void_p)


class DirStream:
    """An open directory; iterating goes on where it stands, over names but
    the two dots."""

    def __init__(self, path):
        self.stream = _opendir(os.fsencode(path))
        if not self.stream:
            raise OSError(ctypes.get_errno(), "opendir", path)

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            ctypes.set_errno(0)
            entry = _readdir(self.stream)
            if not entry and ctypes.get_errno():
                raise OSError(ctypes.get_errno(), "readdir")
            if not entry:
                raise StopIteration
            name = os.fsdecode(entry.contents.name)
            if name not in (".", ".."):
                return name

    def tell(self):
        return _telldir(self.stream)

    def seek(self, place):
        _seekdir(self.stream, place)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _closedir(self.stream)
