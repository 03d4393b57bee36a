"""Bytes on their way from the arena to a file of the spool, while training goes on.

The daemon copies them, and then they outlive this process; where it takes none, dies or hangs in the middle, this
process does. Both write the same bytes to the same places, so that it does no harm if both do: as long as nobody
puts other bytes into that memory. One that a daemon may still read is `shared`, and must not be used again.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from respool.link import close_all
from respool.wire.file_messages import Settle, Settled, Stage, Staged

if TYPE_CHECKING:
    from respool.tether import Tether

TAKE_SECONDS = 5.0
SLICE_SECONDS = 2.0
"""A daemon that in this time says nothing, and adds nothing to the file, is not waited for any longer."""
_LARGEST = 1 << 30


class StagedCopy:
    """The first `size` bytes of the memory `source`, on their way to the blob `token`, open as `target`: both taken
    over, and closed when they are there. They are under way on return.
    """

    def __init__(self, token: str, size: int, source: int, target: int, tether: Tether | None) -> None:
        self.shared = False
        self._token, self._size = token, size
        self._source, self._target = source, target
        self._whole: bool | None = None
        self._turn = threading.RLock()
        self._tether = tether if tether is not None and self._taken_by(tether) else None
        self._thread: threading.Thread | None = None
        if self._tether is not None:
            self._tether.owed = self.owed
        else:
            self._thread = threading.Thread(target=self._carry, name="respool-staged")
            self._thread.start()

    def owed(self) -> tuple[Stage, list[int]] | None:
        """What a daemon that came back is handed again: the one before may have died in the middle."""
        return (Stage(self._token, self._size), [self._source]) if self._whole is None else None

    def wait(self, seconds: float) -> bool:
        """Whether they are on disk, waiting for that as long as they move, and at most `seconds`."""
        seconds = max(0.0, seconds)
        deadline = monotonic() + seconds
        if not self._turn.acquire(timeout=seconds):
            return False
        try:
            if self._thread is not None:
                self._thread.join(max(0.0, deadline - monotonic()))
            elif self._whole is None and self._tether is not None:
                self._follow(self._tether, deadline)
            return bool(self._whole)
        finally:
            self._turn.release()

    def _taken_by(self, tether: Tether) -> bool:
        away = tether.away
        answer = tether.ask(Stage(self._token, self._size), TAKE_SECONDS, fds=[self._source])
        if answer is None:
            # It may have it without having said so.
            self.shared = not (away and tether.away)
            return False
        close_all(answer.fds)
        return isinstance(answer.message, Staged) and answer.message.error is None

    def _follow(self, tether: Tether, deadline: float) -> None:
        there = -1
        while self._whole is None:
            answer = tether.ask(Settle([self._token]), max(0.0, min(SLICE_SECONDS, deadline - monotonic())))
            if answer is not None and isinstance(answer.message, Settled):
                if answer.message.error is None:
                    self._over(whole=True)
                break
            before, there = there, self._there()
            if there == before and there < self._size:
                self.shared = True
            if self.shared or there == self._size:
                break
            if monotonic() >= deadline:
                return
        self._carry()

    def _there(self) -> int:
        """Bytes of it that the file has. It grows from its beginning: whoever got to the end wrote it all."""
        return os.fstat(self._target).st_size if self._whole is None else self._size

    def _carry(self) -> None:
        """Copy and sync them here. What comes to nothing has not the size that its record says."""
        if self._whole is not None:
            return
        try:
            # The last byte comes last: a file of that size is on disk, and older ones may go for it.
            body = max(0, self._size - 1)
            if self._there() < body:
                bring(self._source, self._target, body)
            os.fsync(self._target)
            if self._there() < self._size:
                bring(self._source, self._target, self._size, body)
                os.fsync(self._target)
        except OSError:
            with suppress(OSError):  # what does not fit must not fill the disk
                os.ftruncate(self._target, 0)
            self._over(whole=False)
        else:
            self._over(whole=True)

    def _over(self, *, whole: bool) -> None:
        # A signal's handler may have waited in the middle of a wait, and brought it to its end.
        if self._whole is None:
            self._whole = whole
            close_all([self._source, self._target])


def bring(source: int, target: int, size: int, begin: int = 0) -> None:
    """Copy the first `size` bytes of a file, but for those before `begin`, to the same place in another one. Raises
    OSError.
    """
    at = os.lseek(target, begin, os.SEEK_SET)
    while at < size:
        at += os.sendfile(target, source, at, min(size - at, _LARGEST))
