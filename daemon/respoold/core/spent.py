"""Segments that the hub has and that are kept a while all the same: it may be put back from a backup.

For a day at most, at most so many bytes of each user, and only until room is needed. The oldest go first; of one
writer they come in order, so that what is left of it has no hole.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

KEEP_SECONDS = 86400.0
MOST = 256 << 20
SHARE = 8
"""The part of a user's quota that they may take at most: one in so many."""
LEAST = 1 << 20
"""What a segment counts at the least, so that a thousand small runs are not kept a day."""


class Segment(NamedTuple):
    """One of a writer's segments, and since when it is needed no more."""

    attempt_id: str
    writer: int
    number: int
    size: int = 0
    since: float = 0.0


class Spent:
    """One user's. Pure: the time comes with each call."""

    def __init__(self, quota: int) -> None:
        self._most = min(MOST, quota // SHARE)
        self._kept: deque[Segment] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, segment: Segment) -> None:
        """It is needed no more."""
        self._kept.append(segment)
        self._size += _counted(segment)

    def due(self, now: float) -> list[Segment]:
        """Those whose time is over, or that are too many; they are not kept any longer."""
        found = []
        while self._kept and (self._size > self._most or self._kept[0].since < now - KEEP_SECONDS):
            found.append(self.oldest())
        return found

    def oldest(self) -> Segment:
        """Let the oldest go. Raises IndexError when there is none."""
        segment = self._kept.popleft()
        self._size -= _counted(segment)
        return segment

    def forget(self, attempt_id: str, writer: int | None = None) -> None:
        """The attempt is no more, or what this writer (None: all of them) wrote is sent again."""
        self._kept = deque(
            one
            for one in self._kept
            if one.attempt_id != attempt_id or (writer is not None and one.writer != writer)
        )
        self._size = sum(map(_counted, self._kept))


def _counted(segment: Segment) -> int:
    return max(segment.size, LEAST)
