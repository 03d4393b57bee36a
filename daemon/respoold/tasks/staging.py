"""Writing what trainers staged in shared memory: from the moment that a daemon holds the memory it outlives them.

A copy that is under way when the daemon is told to stop is finished first. One that the daemon's death cut short
is not as large as its record says, and so is no version of anything.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress

import trio

from respool.wire.errors import FormatError
from respoold.io import blobs

PIECE = 64 << 20


class Staging:
    """The copies under way. `done` is called after each."""

    def __init__(self, background: trio.Nursery, done: Callable[[], None]) -> None:
        self._background = background
        self._done = done
        self._under_way: dict[tuple[str, str], trio.Event] = {}
        self._failed: dict[tuple[str, str], str] = {}

    def begin(self, directory: str, token: str, size: int, source: int) -> str | None:
        """Take over `source`, shared memory whose first `size` bytes become the blob `token`. Why not, or None; the
        descriptor is closed either way when it is no longer needed. A client that lost its connection hands over again
        what may be under way, or there already.
        """
        if self.busy(directory, token) or 0 < size == blobs.size_of(directory, token):
            os.close(source)
            return None
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode) or status.st_size < size:
            os.close(source)
            return f"the memory has {status.st_size} bytes, {size} were announced"
        try:
            target = os.open(blobs.path_of(directory, token), os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (OSError, FormatError) as error:
            os.close(source)
            return f"blob {token:.40} cannot be written: {getattr(error, 'strerror', None) or error}"
        self._under_way[directory, token] = trio.Event()
        self._background.start_soon(self._write, (directory, token), size, source, target)
        return None

    def busy(self, directory: str, token: str) -> bool:
        """Whether this blob is still being written."""
        return (directory, token) in self._under_way

    async def settled(self, directory: str, token: str) -> str | None:
        """Wait until this blob is not written any more; why it is not whole, or None."""
        event = self._under_way.get((directory, token))
        if event is not None:
            await event.wait()
        return self._failed.get((directory, token))

    async def _write(self, key: tuple[str, str], size: int, source: int, target: int) -> None:
        try:
            # Shielded: nobody else holds these bytes. systemd's own limit ends a stop that takes too long.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_copy, source, target, size)
        except OSError as error:
            self._failed[key] = f"it could not be written: {error.strerror}"
            with suppress(OSError):  # what does not fit must not fill the disk
                os.ftruncate(target, 0)
        finally:
            os.close(source)
            os.close(target)
            self._under_way.pop(key).set()
            self._done()


def _copy(source: int, target: int, size: int) -> None:
    at = 0
    while at < size:
        moved = os.sendfile(target, source, at, min(size - at, PIECE))
        if not moved:
            raise OSError(0, "the memory was taken away")
        at += moved
    os.fdatasync(target)
