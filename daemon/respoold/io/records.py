"""One writer's records as they lie in its segments, in order, whatever is damaged between."""

from __future__ import annotations

import os
from collections.abc import Iterator

from respool.wire.errors import WireError
from respool.wire.frames import Frame, resync, walk
from respool.wire.segment import DATA
from respoold.io import segments


def records_of(directory: str, writer: int, most: int | None = None) -> Iterator[Frame]:
    """All that are left, of the first `most` segments. Blocks: for a thread."""
    for index in segments.indexes(directory).get(writer, [])[:most]:
        try:
            fd = segments.open_existing(directory, writer, index, write=False)
        except (OSError, WireError):
            continue
        try:
            data = os.pread(fd, segments.data_end(fd, DATA) - DATA, DATA)
        finally:
            os.close(fd)
        yield from _walk(data)


def _walk(data: bytes) -> Iterator[Frame]:
    at: int | None = 0
    while at is not None:
        found = walk(memoryview(data)[at:])
        yield from found.frames
        next_seq = found.frames[-1].next_seq if found.frames else 0
        at = resync(data, at + found.end, next_seq)
