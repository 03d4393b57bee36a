"""Processes: who is alive, for certain. A pid alone proves nothing; pid, start time and boot together do."""

from __future__ import annotations

import fcntl
import os
import select
import struct

from respool.process import boot_id, start_time
from respool.wire.identity import Process

_GET_INFO = 0xC040FF0B
"""PIDFD_GET_INFO, for a struct pidfd_info of 64 bytes: the mask comes first, the wait status last."""
_INFO_EXIT = 1 << 3
_INFO = struct.Struct("=Q52xi")


class NotYetError(Exception):
    """What was asked for is not known yet."""


def vouch(pid: int) -> Process | None:
    """The process that has this pid here now; None when there is none."""
    began = start_time(pid)
    return None if began is None else Process(boot_id(), pid, began)


def is_alive(process: Process) -> bool:
    """Whether that very process runs here now.

    Where /proc hides other users' processes (hidepid=), the pid alone must do: a run whose pid was given to
    somebody else counts as alive for longer, which is better than one that goes on counting as crashed.
    """
    if process.boot_id != boot_id():
        return False
    began = start_time(process.pid)
    return _runs(process.pid) if began is None else began == process.start_time


def _runs(pid: int) -> bool:
    """Whether any process has this pid, also one that /proc does not show us. A zombie has not."""
    try:
        fd = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return False
    try:
        return not has_ended(fd)
    finally:
        os.close(fd)


def open_pidfd(process: Process) -> int | None:
    """A descriptor that becomes readable when the process ends, and is for a zombie: its parent may still learn how it
    ended, and so may we. None when nothing is left of it.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except (OSError, OverflowError):
        return None
    if is_alive(process) or (process.boot_id == boot_id() and _is_zombie(process)):
        return fd
    os.close(fd)
    return None


def _is_zombie(process: Process) -> bool:
    return start_time(process.pid) is None and start_time(process.pid, zombie=True) == process.start_time


def has_ended(pidfd: int) -> bool:
    """Whether the process behind a pidfd has ended; a zombie has."""
    return bool(select.select([pidfd], [], [], 0)[0])


def exit_code_of(pidfd: int) -> int | None:
    """What the process behind a pidfd exited with; None when a signal ended it. Raises NotYetError as long as its
    parent has not waited for it, and OSError where the kernel does not tell (before 6.15).
    """
    asked = bytearray(_INFO.pack(_INFO_EXIT, 0))
    fcntl.ioctl(pidfd, _GET_INFO, asked)
    told, status = _INFO.unpack(asked)
    if not told & _INFO_EXIT:
        raise NotYetError
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def sees_as_we(pid: int) -> bool:
    """Whether a path means to this process what it means to us: the same mounts, and the same root."""
    try:
        mounts = {os.readlink(f"/proc/{one}/ns/mnt") for one in (pid, "self")}
        return len(mounts) == 1 and os.path.samefile(f"/proc/{pid}/root", "/proc/self/root")
    except OSError:
        return False


def ancestors(pid: int) -> list[int]:
    """The pids above this one, nearest first, as far as /proc shows them."""
    found: list[int] = []
    while pid > 1 and pid not in found[:-1]:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The name may hold anything, blanks and brackets too: count from its end.
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
        found.append(pid)
    return found
