"""Later versions of saved files: `live` ones as they change, `live` and `end` ones once more when the run ends.

Nothing here runs by itself: the shim looks when the script calls it anyway, once a second at most, and a look costs a
`stat` for each of a few files. So a file that was being written when its process died is never a version.
"""

from __future__ import annotations

import os
from typing import NamedTuple

LOOK_SECONDS = 1.0
SETTLED_SECONDS = 2.0
"""How long a file must have looked the same to count as written."""

AT_ONCE = 64
"""Files of one look; with more of them they take turns."""

SHARE = 50
"""A copy that took t seconds is followed by SHARE * t without another: two per cent of the time at most."""


class Stamp(NamedTuple):
    """What changes when a file does."""

    inode: int
    size: int
    changed: int


class Kept(NamedTuple):
    """A saved file: where it lies, what the run calls it, as what it was kept last, and how it looked since when."""

    path: str
    name: str
    policy: str
    kept: Stamp | None
    seen: Stamp | None = None
    since: float = 0.0


class LaterVersions:
    """The files of a run that may get further versions, by name in the run."""

    def __init__(self) -> None:
        self._files: dict[str, Kept] = {}
        self._looked = float("-inf")
        self._rest_until = float("-inf")
        self._turn = 0

    def __len__(self) -> int:
        return len(self._files)

    def saved(self, path: str, name: str, policy: str, stamp: Stamp | None) -> None:
        """This file was kept as it was at `stamp`; None: it could not be, and may be once it has changed again."""
        if policy == "now":
            self._files.pop(name, None)
        else:
            self._files[name] = Kept(os.path.abspath(path), name, policy, stamp, stamp)

    def due(self, now: float) -> Kept | None:
        """A live file whose new content has settled; None most of the time. Looks at some of them."""
        if 0.0 <= now - self._looked < LOOK_SECONDS or self._resting(now):
            return None
        self._looked = now
        live = [one for one in self._files.values() if one.policy == "live"]
        chosen = [live[(self._turn + index) % len(live)] for index in range(min(AT_ONCE, len(live)))]
        self._turn += len(chosen)
        settled = [one for one in chosen if self._look(one, now)]
        return settled[0] if settled else None

    def _look(self, one: Kept, now: float) -> bool:
        stamp = stamp_at(one.path)
        if stamp is None or stamp == one.kept:
            return False
        if stamp != one.seen or now < one.since:
            self._files[one.name] = one._replace(seen=stamp, since=now)
            return False
        return now - one.since >= SETTLED_SECONDS

    def took(self, seconds: float, now: float) -> None:
        """A copy was made in passing: how long until the next one."""
        self._rest_until = now + SHARE * seconds

    def _resting(self, now: float) -> bool:
        # A clock that was put back must not make the rest longer than the longest copy deserves.
        return now < self._rest_until and self._looked <= now

    def last(self, now: float, *, torn: bool) -> tuple[list[Kept], list[Kept]]:
        """At the end of the run: (to keep once more, changed but not to be trusted). `torn`: the script ended by an
        error, which may have struck while it wrote; then what changed a moment ago, `now` in seconds since the
        epoch, is left out.
        """
        keep: list[Kept] = []
        doubtful: list[Kept] = []
        for one in self._files.values():
            stamp = stamp_at(one.path)
            if stamp is not None and stamp != one.kept:
                fresh = abs(now - stamp.changed / 1e9) < SETTLED_SECONDS
                (doubtful if torn and fresh else keep).append(one)
        return keep, doubtful


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file with this status."""
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def stamp_at(path: str) -> Stamp | None:
    """The stamp of the file at `path`; None when there is none to be seen."""
    try:
        return stamp_of(os.stat(path))
    except (OSError, ValueError):
        return None
