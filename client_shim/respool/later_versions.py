"""Later versions of saved files: `live` ones as they change, `live` and `end` ones once more when the run ends.

A daemon of the same user watches the live ones, snapshots what has settled, and says so: the record is still the
trainer's own, so that a file's versions have one order. Those that it does not watch are the shim's to look at when the
script calls it anyway, once a second at most; a look costs a `stat` for each of a few files. Either way a file that was
being written when its process died is never a version.
"""

from __future__ import annotations

import os
import threading

from respool.wire.file_messages import Changed, Watch
from respool.wire.settling import QUIET_SECONDS, SETTLED_SECONDS, Kept, Stamp

LOOK_SECONDS = 1.0

AT_ONCE = 64
"""Files of one look; with more of them they take turns."""

SHARE = 50
"""A copy that took t seconds is followed by SHARE * t without another: two per cent of the time at most."""


MOST = 256
"""Live files that a daemon is asked to watch, for each run."""


class LaterVersions:
    """The files of a run that may get further versions, by name in the run. Any thread may ask: the lock is held for no
    look at a file.
    """

    def __init__(self) -> None:
        self._files: dict[str, Kept] = {}
        self._looked = float("-inf")
        self._rest_until = float("-inf")
        self._next = 0
        self._turn = threading.RLock()
        self._returns = 0

    def __len__(self) -> int:
        return len(self._files)

    def saved(self, path: str, name: str, policy: str, stamp: Stamp | None, token: str = "") -> Watch | None:
        """This file was kept as it was at `stamp`, by the record of `token`; None: it could not be, and may be once it
        has changed again. Returns what the daemon is to hear of it, if anything.
        """
        kept = Kept(os.path.abspath(path), name, policy, stamp, token, stamp)
        with self._turn:
            before = self._files.pop(name, None)
            if policy != "now":
                self._files[name] = kept
        if policy == "live" and stamp is not None:
            return self._wish(kept) if _tellable(path) and len(self._files) <= MOST else None
        return Watch(name) if before is not None and before.policy == "live" else None

    def forgotten(self, returns: int) -> list[Watch]:
        """What a daemon is to watch that knows of nothing yet, having come back `returns` times by now; until it says
        so, nothing is watched.
        """
        if returns == self._returns:
            return []
        self._returns = returns
        for one in self._all():
            self._put(one, one._replace(watched=False))
        live = [one for one in self._all() if one.policy == "live" and one.kept is not None]
        return [self._wish(one) for one in live[:MOST] if _tellable(one.path)]

    def _wish(self, one: Kept) -> Watch:
        return Watch(one.name, one.path, one.token, list(one.kept or ()))

    def watched(self, names: list[str]) -> None:
        """The daemon looks at these from now on."""
        for name in names:
            one = self._files.get(name)
            if one is not None:
                self._put(one, one._replace(watched=True))

    def changed(self, news: Changed) -> str | None:
        """The daemon snapshotted a later version. The policy to record it with; None when another one is known by now,
        or when the file is not live any more.
        """
        one = self._files.get(news.name)
        if (
            one is None
            or one.policy != "live"
            or one.token != news.base
            or len(news.stamp) != len(Stamp._fields)
        ):
            return None
        stamp = Stamp(*news.stamp)
        return one.policy if self._put(one, one._replace(kept=stamp, seen=stamp, token=news.token)) else None

    def due(self, now: float, *, attended: bool = False) -> Kept | None:
        """A live file whose new content has settled; None most of the time. Looks at some of them; those that the
        daemon watches are left to it, while it is there (`attended`), for as long as it may take.
        """
        if 0.0 <= now - self._looked < LOOK_SECONDS or self._resting(now):
            return None
        self._looked = now
        live = [one for one in self._all() if one.policy == "live"]
        chosen = [live[(self._next + index) % len(live)] for index in range(min(AT_ONCE, len(live)))]
        self._next += len(chosen)
        settled = [one for one in chosen if self._look(one, now, attended=attended)]
        return settled[0] if settled else None

    def _look(self, one: Kept, now: float, *, attended: bool) -> bool:
        seconds = QUIET_SECONDS if attended and one.watched else SETTLED_SECONDS
        looked, settled = one.looked(stamp_at(one.path), now, seconds)
        return self._put(one, looked) and settled

    def _all(self) -> list[Kept]:
        return list(self._files.values())

    def _put(self, one: Kept, new: Kept) -> bool:
        """Have `new` in the place of `one`, unless another thread was faster: what it knows is later."""
        with self._turn:
            current = self._files.get(one.name) is one
            if current:
                self._files[one.name] = new
        return current

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
        for one in self._all():
            stamp = stamp_at(one.path)
            if stamp is not None and stamp != one.kept:
                fresh = abs(now - stamp.changed / 1e9) < SETTLED_SECONDS
                (doubtful if torn and fresh else keep).append(one)
        return keep, doubtful


def _tellable(path: str) -> bool:
    """Whether a message can name it: a file's name may be no text."""
    try:
        os.path.abspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file with this status."""
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def stamp_at(path: str) -> Stamp | None:
    """The stamp of the file at `path`; None when there is none to be seen."""
    try:
        return stamp_of(os.stat(path))
    except (OSError, ValueError):
        return None
