"""How an attempt ended, by a glance at its last bytes."""

from __future__ import annotations

import os

from respool.spool_history import segments_of
from respool.wire.frames import resync, walk
from respool.wire.segment import DATA
from respool.wire.view import View

_LAST_WORDS = 64 << 10
_BLOCK = 1 << 20
_ZEROS = 4096
"""More than a last record has at its own end."""


def ended_well(directory: str) -> bool:
    """Whether an attempt's last words are that it finished. A glance: only its last bytes are read."""
    segments = segments_of(directory, 0)
    if not segments:
        return False
    with open(os.path.join(directory, segments[-1]), "rb", buffering=0) as file:
        end = _data_end(file.fileno())
        data = os.pread(file.fileno(), _LAST_WORDS + _ZEROS, max(DATA, end - _LAST_WORDS))
    at, view = resync(data, 0, 0), View()
    for frame in walk(data, at).frames if at is not None else []:
        view.apply(frame)
    unfinished = view.noticed and not (view.explicit or view.preempting)
    return view.state == "ended" and view.exit_code == 0 and not unfinished


def _data_end(fd: int) -> int:
    """Where the data of a segment end, which is fallocated. Not asked of SEEK_HOLE: it takes for data what somebody
    has merely read.
    """
    end = os.fstat(fd).st_size
    while end > DATA:
        start = max(DATA, end - _BLOCK)
        kept = len(os.pread(fd, end - start, start).rstrip(b"\0"))
        if kept:
            return start + kept
        end = start
    return DATA
