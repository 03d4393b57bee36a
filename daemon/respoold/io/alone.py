"""One process at a time at a file that is being made under a name of its own and then renamed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def alone(path: str) -> Iterator[None]:
    """Hold `path`, made if it is not there, until the block ends; waits for whoever holds it. Where the file system
    has no locks nobody waits. Raises OSError when it cannot be made.
    """
    fd = _held(path)
    try:
        yield
    finally:
        if not os.fstat(fd).st_size and _is(fd, path):
            os.unlink(path)  # nothing came of it
        os.close(fd)


def _held(path: str) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        if _is(fd, path):
            return fd
        os.close(fd)  # who held it has renamed it: it is another file by now


def _is(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
