"""Files whose descriptors a client passed: looked at with suspicion, then copied. Everything here blocks, perhaps for
ever (the file system may be the client's own): call it in a thread that can be given up.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress

from respoold.io.segments import data_end

PIECE = 1 << 20


class PassedError(Exception):
    """A descriptor that is not what was agreed on; the text says how."""


def measure(fd: int, uid: int) -> int:
    """Bytes to copy of a passed descriptor: up to where its data end. Raises PassedError for anything but a
    regular file of that user, open for reading.
    """
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & os.O_PATH or flags & os.O_ACCMODE == os.O_WRONLY:
        raise PassedError("a descriptor is not open for reading")
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise PassedError("a descriptor is no regular file")
    if found.st_uid != uid:
        raise PassedError(f"a descriptor is a file of uid {found.st_uid}, not of uid {uid}")
    return min(found.st_size, data_end(fd, 0))


def copy(fd: int, path: str, size: int) -> None:
    """Put the first `size` bytes at `path`, durably; fewer when the file has shrunk, no more if it grows. Raises
    OSError.
    """
    part = f"{path}.{os.getpid()}.part"
    target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        at = 0
        while at < size:
            piece = os.pread(fd, min(PIECE, size - at), at)
            if not piece:
                break
            at += os.pwrite(target, piece, at)
        os.fdatasync(target)
        os.rename(part, path)
    except OSError:
        with suppress(OSError):
            os.unlink(part)
        raise
    finally:
        os.close(target)
