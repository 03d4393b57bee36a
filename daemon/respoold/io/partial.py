"""A download that a kill interrupts and the next try goes on with: a file whose chunks are checked one by one."""

from __future__ import annotations

import os
import threading

from blake3 import blake3

from respoold.core.hubapi import Manifest

SPAN = 32 << 20
"""Bytes of one request: many chunks at once where nothing of them is here."""


class Partial:
    """The file at `path` that becomes what `manifest` describes. Blocks; one thread may write a chunk while others
    write others. `close` when done with it.
    """

    def __init__(self, path: str, manifest: Manifest) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._digests = manifest.digests
        self._places: list[tuple[int, int]] = []
        at = 0
        for size in manifest.sizes:
            self._places.append((at, at + size))
            at += size
        self.size = at
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._here = os.fstat(self._fd).st_size

    def missing(self) -> list[tuple[int, int]]:
        """The spans (start, end) that still have to come, none across more than SPAN bytes. Reads what is here."""
        spans: list[tuple[int, int]] = []
        for index, (start, end) in enumerate(self._places):
            if end <= self._here and self.good(index):
                continue
            joins = spans and spans[-1][1] == start and end - spans[-1][0] <= SPAN
            spans[-1:] = [(spans[-1][0], end)] if joins else [*spans[-1:], (start, end)]
        return spans

    def put(self, data: memoryview, at: int) -> None:
        """Write bytes to their place. Raises OSError, also once it is closed: a thread that nobody waits for any more
        must not write to whatever has this descriptor's number then.
        """
        with self._lock:
            while data:
                done = os.pwrite(self._fd, data, at)
                data, at = data[done:], at + done

    def good(self, index: int) -> bool:
        """Whether a chunk is here and is what the manifest says."""
        start, end = self._places[index]
        data = os.pread(self._fd, end - start, start)
        return blake3(data).digest() == self._digests[32 * index : 32 * index + 32]

    def bad_in(self, start: int, end: int) -> list[int]:
        """The chunks within a span that came damaged."""
        return [
            index
            for index, place in enumerate(self._places)
            if start <= place[0] < end and not self.good(index)
        ]

    def name_of(self, index: int) -> str:
        """A chunk's digest in hexadecimal."""
        return self._digests[32 * index : 32 * index + 32].hex()

    def take(self) -> int:
        """The finished file, open for reading, its name removed; the caller closes it."""
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        os.unlink(self._path)
        return fd

    def sync(self) -> None:
        """Make what is in the file durable."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the file; what is in it stays."""
        with self._lock:
            fd, self._fd = self._fd, -1
        os.close(fd)
