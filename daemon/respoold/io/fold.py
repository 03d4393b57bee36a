"""An attempt's whole view, read from what is left of its segments.

Every segment begins with a SNAPSHOT of the writer's view, so the newest one that still has a whole SNAPSHOT
and what follows it are enough.
"""

from __future__ import annotations

import os

from respool.wire.errors import WireError
from respool.wire.frames import Kind, resync, walk
from respool.wire.segment import DATA
from respool.wire.view import View
from respoold.io import segments


def fold(directory: str, writer: int = 0) -> View:
    """Config, summary, meta and files of a writer. Blocks: up to a second for a full segment of small rows."""
    indexes = segments.indexes(directory).get(writer, [])
    for start in range(len(indexes) - 1, -1, -1):
        view = View()
        if _apply(directory, writer, indexes[start], view) or start == 0:
            for index in indexes[start + 1 :]:
                _apply(directory, writer, index, view)
            return view
    return View()


def _apply(directory: str, writer: int, index: int, view: View) -> bool:
    """Fold one segment in, skipping damage; True when it began with a whole snapshot."""
    try:
        fd = segments.open_existing(directory, writer, index, write=False)
    except (OSError, WireError):
        return False
    try:
        data = os.pread(fd, segments.data_end(fd, DATA) - DATA, DATA)
    finally:
        os.close(fd)
    at, whole, next_seq = 0, False, 0
    while True:
        found = walk(memoryview(data)[at:])
        for frame in found.frames:
            view.apply(frame)
            next_seq = frame.next_seq
        whole = whole or (at == 0 and bool(found.frames) and found.frames[0].kind == Kind.SNAPSHOT)
        behind = resync(data, at + found.end, next_seq)
        if behind is None:
            return whole
        at = behind
