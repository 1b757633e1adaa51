# SPDX-License-Identifier: BSD-3-Clause
"""System calls on files that Python's os module does not have."""
import ctypes
import errno
import fcntl
import os
import struct

KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO, INSERT = 1, 3, 8, 16, 32
SYNCHRONOUS, IMMUTABLE, APPEND_ONLY, NO_ATIME = 8, 0x10, 0x20, 0x80

_AT_FDCWD, _AT_SYMLINK_FOLLOW = -100, 0x400
_RENAME_EXCHANGE = 2
_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602
_MOVE_EXTENTS = 0xc028660f  # EXT4_IOC_MOVE_EXT
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, *what):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), *what)


def exchange(one, other):
    """Two names change places."""
    _check(_libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD,
                           os.fsencode(other), _RENAME_EXCHANGE), one)


def link_open(fd, path):
    """Gives an open file a name, also one that never had any."""
    _check(_libc.linkat(_AT_FDCWD, os.fsencode(f"/proc/self/fd/{fd}"),
                        _AT_FDCWD, os.fsencode(path), _AT_SYMLINK_FOLLOW),
           path)


def fallocate(fd, mode, offset, length):
    """False where the file has no extents, and so not this mode."""
    call = _libc.fallocate64
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64,
                     ctypes.c_int64]
    try:
        _check(call(fd, mode, offset, length))
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True


def sync_range(fd):
    """Data goes to the device, metadata does not."""
    call = _libc.sync_file_range
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64,
                     ctypes.c_uint]
    _check(call(fd, 0, 0, 7))


def sync_fs(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        _check(_libc.syncfs(fd), path)
    finally:
        os.close(fd)


def change_flags(path, on=0, off=0):
    fd = os.open(path, os.O_RDONLY)
    try:
        old, = struct.unpack("i", fcntl.ioctl(fd, _GETFLAGS, b"\0" * 4))
        fcntl.ioctl(fd, _SETFLAGS, struct.pack("i", (old | on) & ~off))
    finally:
        os.close(fd)


def swap_extents(fd, donor, first, count):
    """Two files exchange blocks, as a defragmenter has them do it. False where
    they have no extents, or the mount does not do that; without a journal it
    wants pages that nobody writes at the moment."""
    asked = struct.pack("=IIQQQQ", 0, donor, first, first, count, 0)
    try:
        done = fcntl.ioctl(fd, _MOVE_EXTENTS, asked)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.EBUSY):
            raise
        return False
    return struct.unpack("=IIQQQQ", done)[5] == count
