"""Which files are open, as far as /proc shows it to us."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

Identity = tuple[int, int]
"""Device and inode."""


def written() -> set[Identity]:
    """The regular files that any process which we may look at has open for writing."""
    return {
        (status.st_dev, status.st_ino)
        for pid, fd, status in _descriptors()
        if stat.S_ISREG(status.st_mode) and _writes(pid, fd)
    }


def _descriptors() -> Iterator[tuple[str, str, os.stat_result]]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:  # another user's, or gone
            continue
        for fd in names:
            try:
                yield pid, fd, os.stat(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue


def _writes(pid: str, fd: str) -> bool:
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
            flags = next(line for line in file if line.startswith("flags:"))
    except (OSError, StopIteration):
        return False
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
