"""Copies of files: a snapshot into an empty descriptor, by the cheapest way the file system has."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

_FICLONE = 0x40049409
_PIECE = 16 << 20
_NO_RANGE = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EIO})
_TRIES = 3


class SnapshotError(Exception):
    """No whole copy could be made; the text says why."""


def open_source(path: str) -> int:
    """A descriptor of a regular file, without ever waiting (a named pipe would). Raises SnapshotError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SnapshotError(f"{path} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SnapshotError(f"{path} is not a regular file")
    return fd


def snapshot(source: int, target: int) -> tuple[int, str]:
    """Copy all of `source` into the empty `target`; (bytes, how). A file that is being written meanwhile is
    copied again, and given up after the third time. Raises SnapshotError; `target` may hold anything then.
    """
    for _ in range(_TRIES):
        before = os.fstat(source)
        try:
            how = _copy(source, target, before.st_size)
        except OSError as error:
            raise SnapshotError(f"the copy failed: {error.strerror}") from error
        after = os.fstat(source)
        unchanged = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        if unchanged and os.fstat(target).st_size == before.st_size:
            return before.st_size, how
        os.ftruncate(target, 0)
    raise SnapshotError("it kept changing while it was copied")


def _copy(source: int, target: int, size: int) -> str:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return _copy_bytes(source, target, size)
    return "reflink"


def _copy_bytes(source: int, target: int, size: int) -> str:
    done, how = 0, "copy"
    ranges = hasattr(os, "copy_file_range")
    while done < size:
        if ranges:
            try:
                copied = os.copy_file_range(source, target, min(size - done, 1 << 30), done, done)
            except OSError as error:
                if error.errno not in _NO_RANGE:
                    raise
                copied, ranges = 0, False
            ranges = copied > 0
            how = "copy_file_range" if ranges else "copy"
        else:
            piece = os.pread(source, _PIECE, done)
            copied = os.pwrite(target, piece, done) if piece else 0
            if not piece:
                break
        done += copied
    return how


def same_bytes(left: int, right: int) -> bool:
    """Whether two open regular files hold the same bytes."""
    if os.fstat(left).st_size != os.fstat(right).st_size:
        return False
    at = 0
    while True:
        one, other = os.pread(left, _PIECE, at), os.pread(right, _PIECE, at)
        if one != other:
            return False
        if not one:
            return True
        at += len(one)
