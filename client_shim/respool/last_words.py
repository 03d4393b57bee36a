"""How an attempt ended, by a glance at its last bytes."""

from __future__ import annotations

import os

from respool.spool_history import segments_of
from respool.wire.frames import resync, walk
from respool.wire.segment import DATA
from respool.wire.view import View

_LAST_WORDS = 64 << 10


def ended_well(directory: str) -> bool:
    """Whether an attempt's last words are an end with exit code 0. A glance: only its last bytes are read."""
    segments = segments_of(directory, 0)
    if not segments:
        return False
    with open(os.path.join(directory, segments[-1]), "rb", buffering=0) as file:
        end = _data_end(file.fileno())
        data = os.pread(file.fileno(), _LAST_WORDS, max(DATA, end - _LAST_WORDS))
    at, view = resync(data, 0, 0), View()
    for frame in walk(data, at).frames if at is not None else []:
        view.apply(frame)
    return view.state == "ended" and view.exit_code == 0


def _data_end(fd: int) -> int:
    """Where the data of a segment end, which is fallocated; the end of the file where that cannot be told."""
    end = DATA
    try:
        while True:
            end = os.lseek(fd, os.lseek(fd, end, os.SEEK_DATA), os.SEEK_HOLE)
    except (OSError, AttributeError):
        return end
