"""Who has a file open, as far as /proc shows it to us."""

from __future__ import annotations

import os
from collections.abc import Iterator


def is_written(path: str) -> bool:
    """Whether any process that we may look at has this file open for writing."""
    try:
        wanted = os.stat(path)
    except OSError:
        return False
    return any(os.path.samestat(status, wanted) and _writes(pid, fd) for pid, fd, status in _descriptors())


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
