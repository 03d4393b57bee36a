"""One blob on its way into the folder: hashed while it is written, synced, and only then given its name."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Protocol

from blake3 import blake3

from respool_hub.store.ports import StoreError, StoreFullError

PIECE = 1 << 20


class Home(Protocol):
    """The folder that an upload ends in."""

    def adopt(self, temporary: str, digest: str) -> None:
        """Give a synced file its name, durably."""

    def set_by(self, path: str, digest: str) -> None:
        """Keep an interrupted upload, unless more of it lies there already."""


class FolderUpload:
    """See `respool_hub.store.ports.Upload`."""

    def __init__(self, blobs: Home, path: str, digest: str) -> None:
        self._blobs = blobs
        self._path = path
        self._digest = digest
        self._hash = blake3()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take_up(self, size: int) -> bool:
        """Go on behind the first `size` bytes of what is there; False if there are fewer."""
        if os.fstat(self._fd).st_size < size:
            return False
        os.ftruncate(self._fd, size)
        while piece := os.read(self._fd, PIECE):
            self._hash.update(piece)
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        self._hash.update(view)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _translated(error) from error

    def commit(self, digest: str) -> bool:
        if self._hash.hexdigest() != digest:
            self.abort()
            return False
        try:
            os.fdatasync(self._fd)
            self._blobs.adopt(self._path, digest)
        except OSError as error:
            self.abort()
            raise _translated(error) from error
        self._close()
        return True

    def suspend(self) -> None:
        if self._fd >= 0:
            self._close()
            with suppress(FileNotFoundError):
                self._blobs.set_by(self._path, self._digest)

    def abort(self) -> None:
        if self._fd >= 0:
            self._close()
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                return

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)


def _translated(error: OSError) -> StoreError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return (StoreFullError if full else StoreError)(f"the blob folder says: {error}")
