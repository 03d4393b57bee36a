"""Processes: who is alive, for certain. A pid alone proves nothing; pid, start time and boot together do."""

from __future__ import annotations

import os
import select
from functools import cache

from respool.wire.identity import Process


@cache
def boot_id() -> str:
    """This boot of this machine; empty where the kernel does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None when there is no such process, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def is_alive(process: Process) -> bool:
    """Whether that very process runs here now."""
    return process.boot_id == boot_id() and start_time(process.pid) == process.start_time


def open_pidfd(process: Process) -> int | None:
    """A descriptor that becomes readable when the process ends; None when it has ended already."""
    try:
        fd = os.pidfd_open(process.pid)
    except (OSError, OverflowError):
        return None
    if is_alive(process) and not has_ended(fd):
        return fd
    os.close(fd)
    return None


def has_ended(pidfd: int) -> bool:
    """Whether the process behind a pidfd has ended; a zombie has."""
    return bool(select.select([pidfd], [], [], 0)[0])
