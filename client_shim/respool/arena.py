"""Shared memory that a checkpoint is copied into, so that training goes on while it is written to disk.

The memory is kept and used again: its pages are warm then, and a copy costs a fraction of a write. It is handed to
the daemon as a descriptor, so that what was handed over survives this process; where there is no daemon, a thread
of this process writes it. Nothing is copied over what is still being written: who comes too early waits.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable

from respool.checkpoint_file import CheckpointFile

_GROWTH = 64 << 20


class Arena:
    """One piece of shared memory. Raises OSError when the system gives none. `busy` says how to wait for whoever
    still reads it; None when nobody does.
    """

    def __init__(self) -> None:
        self.fd = os.memfd_create("respool-checkpoint", os.MFD_CLOEXEC)
        self.busy: Callable[[], bool] | None = None
        self._size = 0
        self._map: mmap.mmap | None = None

    def free(self) -> bool:
        """Wait until nobody reads it any more. False: what was in it never got to the disk."""
        busy, self.busy = self.busy, None
        return True if busy is None else busy()

    def put(self, view: memoryview, at: int) -> None:
        """Copy `view` to offset `at`. Raises OSError when there is no memory for it."""
        end = at + len(view)
        if end > self._size:
            self._grow(end)
        assert self._map is not None
        self._map[at:end] = view

    def get(self, size: int, at: int) -> bytes:
        """Bytes that were put."""
        return b"" if self._map is None else self._map[at : at + size]

    def close(self) -> None:
        """Give the memory back; the daemon keeps what it was handed."""
        if self._map is not None:
            self._map.close()
        os.close(self.fd)

    def _grow(self, end: int) -> None:
        size = max(end, self._size + max(_GROWTH, self._size // 4))
        # Reserved, not only promised: memory that is missing must be met here and not as a SIGBUS in the copy.
        os.posix_fallocate(self.fd, 0, size)
        if self._map is not None:
            self._map.close()
        self._map = mmap.mmap(self.fd, size)
        self._size = size


class StagedFile(CheckpointFile):
    """A file of a checkpoint that is written into an arena first. The grant is where it goes afterwards."""

    arena: Arena | None = None

    def _put(self, view: memoryview, at: int) -> None:
        if self.arena is None:
            super()._put(view, at)
        else:
            self.arena.put(view, at)

    def _get(self, size: int, at: int) -> bytes:
        return super()._get(size, at) if self.arena is None else self.arena.get(size, at)

    def write_behind(self) -> Callable[[], bool]:
        """Copy the arena to the spool's file in a thread, and sync it; how to wait for that. The file's descriptor is
        the thread's from now on.
        """
        assert self.arena is not None
        target, source, size, done = self.surrender(), self.arena.fd, self.size, list[bool]()
        thread = threading.Thread(target=_copy, args=(source, target, size, done), name="respool-staged")
        thread.start()

        def wait() -> bool:
            thread.join()
            return bool(done)

        return wait


def _copy(source: int, target: int, size: int, done: list[bool]) -> None:
    try:
        at = 0
        while at < size:
            at += os.sendfile(target, source, at, min(size - at, 1 << 30))
        os.fsync(target)
        done.append(True)
    except OSError:
        return  # who waits is told; what is not whole has not the size that its record says
    finally:
        os.close(target)
