"""The folder of `checkpoint_dir()`: there while it is filled, and no longer than the process that made it.

A process that is killed leaves its folder behind, a whole checkpoint on a disk that nobody counts. So each is locked
as long as its maker lives, and who makes the next one removes those of this machine that nobody holds.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import rmtree
from tempfile import mkdtemp

_PREFIX = ".checkpoint-"


@contextmanager
def empty_folder(below: str) -> Iterator[str]:
    """The path of a new folder in `below`, removed with all that is in it. Raises OSError."""
    prefix = f"{_PREFIX}{os.uname().nodename}-"
    with os.scandir(below) as entries:
        left = [one.path for one in entries if one.name.startswith(prefix)]
    for folder in left:
        _remove_if_left(folder)
    folder = mkdtemp(prefix=prefix, dir=below)
    held = _lock(folder)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def _remove_if_left(folder: str) -> None:
    held = _lock(folder)
    if held is not None:
        rmtree(folder, ignore_errors=True)
        os.close(held)


def _lock(folder: str) -> int | None:
    """A descriptor that holds it; None where another process does, or the file system has no locks."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
