"""One file of a checkpoint, open for writing: straight into the spool, and never a torn version.

Every write goes to the file at once. What the disk or the quota does not take turns it into a sink: the trainer
writes on as if nothing had happened, and the checkpoint that it belongs to comes to nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

from respool.saving import Grant

_LARGEST = 1 << 30
"""Bytes of one pwrite(2): the kernel takes no more than 2 GiB at once."""


class CheckpointFile(io.RawIOBase):
    """A binary file that can be written, read back, seeked and truncated. `token` names it in the spool, `error`
    says why it became a sink. Takes over the grant's descriptor; without a grant it is a sink from the start.
    """

    def __init__(self, name: str, grant: Grant | None, error: str | None = None) -> None:
        super().__init__()
        self.name = name
        self.error = error
        self.token = "" if grant is None else grant.token
        self.path = None if grant is None else grant.path
        self._fd = -1 if grant is None else grant.fd
        self._at = 0
        self._end = 0

    @property
    def size(self) -> int:
        """Bytes written so far, a sink's included."""
        return self._end

    @property
    def descriptor(self) -> int:
        """For those who fill the file from outside and then say how much they `took`; -1 for a sink."""
        return self._fd

    def took(self, size: int) -> None:
        """The file was filled with `size` bytes through its descriptor."""
        self._at = self._end = size

    def write(self, data: Any) -> int:
        """All of it, always."""
        if self.closed:
            raise ValueError("write to a closed file")
        view = memoryview(data)
        view = view.cast("B") if view.nbytes else memoryview(b"")
        if self.error is None:
            try:
                self._put(view, self._at)
            except OSError as error:
                self.fail(error.strerror or str(error))
        self._at += len(view)
        self._end = max(self._end, self._at)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        size = max(0, min(len(buffer), self._end - self._at))
        data = b"" if self.error is not None else self._get(size, self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        if start + offset < 0:
            raise ValueError(f"seek to {start + offset}")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self._end = self._at if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self._fd, self._end)
            except OSError as error:
                self.fail(error.strerror or str(error))
        return self._end

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fail(self, why: str) -> None:
        """From now on a sink; what was written is given back to the disk."""
        self.error = self.error or why
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, 0)

    def surrender(self) -> int:
        """The descriptor, which the caller closes from now on."""
        fd, self._fd = self._fd, -1
        return fd

    def _put(self, view: memoryview, at: int) -> None:
        written = 0
        while written < len(view):
            written += os.pwrite(self._fd, view[written : written + _LARGEST], at + written)

    def _get(self, size: int, at: int) -> bytes:
        return os.pread(self._fd, size, at)

    def release(self) -> None:
        """Close the descriptor. The file stays, under its token."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        self.close()
