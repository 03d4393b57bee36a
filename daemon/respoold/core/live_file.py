"""A saved file that further versions are wanted of, and those that its trainer has not recorded yet.

The daemon snapshots, the trainer records: so a file's versions stand in one order, that of the trainer's records, with
whatever the script saves itself. What a trainer that died had not recorded, the daemon records in its place, unless the
trainer had saved a later one. Two snapshots wait at most: the one that the trainer was told of, and the newest.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, NamedTuple

from respool.wire.file_messages import Changed
from respool.wire.settling import Kept, Stamp

REST = 10
"""A snapshot that took t seconds is followed by REST * t without another of that file."""


class Version(NamedTuple):
    """A snapshot, and what the FILE record says of it: size, mtime, how."""

    token: str
    stamp: Stamp
    file: dict[str, Any]


class LiveFile:
    """Mutable, pure. `base` is the newest version that the trainer is known to have recorded."""

    def __init__(self, path: str, name: str, base: str, stamp: Stamp) -> None:
        self.base = base
        self.told: Version | None = None
        self.next: Version | None = None
        self._kept = Kept(path, name, "live", stamp, base, stamp)
        self._rest_until = 0.0

    @property
    def path(self) -> str:
        return self._kept.path

    @property
    def name(self) -> str:
        return self._kept.name

    @property
    def held(self) -> list[str]:
        """The snapshots that no record names."""
        return [one.token for one in (self.told, self.next) if one is not None]

    @property
    def seen(self) -> Stamp | None:
        """As it looked last."""
        return self._kept.seen

    @property
    def moving(self) -> bool:
        """Whether it has changed and is not taken."""
        return self._kept.seen != self._kept.kept

    def looked(self, stamp: Stamp | None, now: float) -> bool:
        """It looks like this at `now`, in seconds of a steady clock; whether it is to be taken."""
        self._kept, settled = self._kept.looked(stamp, now)
        return settled and now >= self._rest_until

    def busy(self, until: float) -> None:
        """It is not to be had before `until`, such as one that is open for writing."""
        self._rest_until = until

    def passed(self, stamp: Stamp) -> None:
        """There is no room for this one: the next is looked at again."""
        self._kept = self._kept._replace(kept=stamp, seen=stamp)

    def taken(self, version: Version, seconds: float, now: float) -> list[str]:
        """A snapshot was made, in `seconds`; those that it replaces."""
        self.passed(version.stamp)
        self._rest_until = now + REST * seconds
        replaced = [] if self.next is None else [self.next.token]
        self.next = version
        return replaced

    def recorded(self, there: Container[str]) -> None:
        """Records name what is `there`."""
        if self.told is not None and self.told.token in there:
            self.base, self.told = self.told.token, None

    def news(self, *, again: bool = False) -> Changed | None:
        """What the trainer is to be told: one at a time, `again` after it lost its connection."""
        if self.told is None:
            self.told, self.next = self.next, None
        elif not again:
            return None
        one = self.told
        return one and Changed(self.name, self.base, one.token, list(one.stamp), one.file)

    def last(self, newest: str | None) -> Version | None:
        """The trainer has died, its newest record naming `newest`: what to record in its place."""
        if self.told is not None and newest == self.told.token:
            return self.next
        return (self.next or self.told) if newest == self.base else None
