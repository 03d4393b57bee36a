"""Shared memory that a checkpoint is copied into, so that training goes on while it is written to disk.

The memory is kept and used again: its pages are warm then, and a copy costs a fraction of a write. Nothing is
copied over what is still being written: who comes too early waits.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

from respool.checkpoint_file import CheckpointFile
from respool.staged_copy import StagedCopy, bring

if TYPE_CHECKING:
    from respool.tether import Tether

WRITE_SECONDS = 3600.0
_GROWTH = 64 << 20
_PIECE = 1 << 20


class Arena:
    """One piece of shared memory, for one file at a time. Raises OSError when the system gives none. `taken`: a file is
    being written into it; `busy` is what is being read from it.
    """

    def __init__(self) -> None:
        self.fd = _memory()
        self.taken = False
        self.busy: StagedCopy | None = None
        self._end = 0
        self._size = 0
        self._map: mmap.mmap | None = None

    def settled(self) -> bool:
        """Wait until what is in it is on disk; whether it got there."""
        return self.busy is None or self.busy.wait(WRITE_SECONDS)

    def free(self) -> bool:
        """As `settled`, and be ready for something else. Raises OSError when the system gives no memory."""
        whole, busy = self.settled(), self.busy
        self.busy, self._end = None, 0
        if busy is not None and (busy.shared or not whole):
            self.close()
            self._map, self._size, self.fd = None, 0, _memory()
        return whole

    def put(self, view: memoryview, at: int) -> None:
        """Copy `view` to offset `at`; what lies between it and the end so far reads as zeros. Raises OSError when there
        is no memory for it.
        """
        if at > self._end:
            self.cut(at)
        end = at + len(view)
        if end > self._size:
            self._grow(end)
        if self._map is not None:
            self._map[at:end] = view
        self._end = max(self._end, end)

    def cut(self, size: int) -> None:
        """Have `size` bytes in it, zeros at the end where there were fewer: the memory was used before. Raises OSError
        when there is no memory for them.
        """
        if size > self._size:
            self._grow(size)
        for at in range(self._end, size, _PIECE):
            assert self._map is not None
            end = min(size, at + _PIECE)
            self._map[at:end] = bytes(end - at)
        self._end = size

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

    def truncate(self, size: int | None = None) -> int:
        if self.arena is None:
            return super().truncate(size)
        self._end = self._at if size is None else size
        if self.error is None:
            try:
                self.arena.cut(self._end)
            except OSError as error:
                self.fail(error.strerror or str(error))
        return self._end

    def write_behind(self, tether: Tether | None) -> StagedCopy | None:
        """Bring the arena to the spool's file, whose descriptor is the copy's from now on. None: it was brought there
        at once, for want of a further descriptor. Raises OSError when that failed.
        """
        assert self.arena is not None
        try:
            source = os.dup(self.arena.fd)
        except OSError:
            bring(self.arena.fd, self._fd, self.size)
            return None
        self.arena.busy = StagedCopy(self.token, self.size, source, self.surrender(), tether)
        return self.arena.busy

    def release(self) -> None:
        self._let_go()
        super().release()

    def __del__(self) -> None:
        # A checkpoint that was asked for and never written must not keep the memory from all others.
        self._let_go()
        super().__del__()

    def _let_go(self) -> None:
        arena, self.arena = self.arena, None
        if arena is not None:
            arena.taken = False


def _memory() -> int:
    return os.memfd_create("respool-checkpoint", os.MFD_CLOEXEC)
