"""What was said of this machine's, or of a job's, coming end: what stands, what was withdrawn, what has expired.

Sources (`respoold.io.notices`) say Foreseen, as often as they like, and Withdrawn. A notice that nobody repeats
expires: machines that were to be taken away sometimes stay.
"""

from __future__ import annotations

from typing import NamedTuple

EXPIRY_SECONDS = 300.0
"""A notice is void so long after its deadline, or after it was last heard where none is known."""


class Foreseen(NamedTuple):
    """The end of this machine is foreseen by `source`, at `deadline` in seconds since the epoch (0: unknown). With
    `job`, the identity of a scheduler's job, only that job's; with `attempt`, only that attempt's. `likely`: it is
    advice, and no notice: users are told, states stay.
    """

    source: str
    deadline: float = 0.0
    job: str = ""
    attempt: str = ""
    likely: bool = False


class Withdrawn(NamedTuple):
    """What `source` foresaw will not happen, for `job` or `attempt`; empty: for nobody."""

    source: str
    job: str = ""
    attempt: str = ""


Event = Foreseen | Withdrawn
_Key = tuple[str, str, str]


class Standing:
    """Every notice of one node. Pure: `now` in seconds since the epoch comes with each call."""

    def __init__(self) -> None:
        self._all: dict[_Key, Foreseen] = {}
        self._heard: dict[_Key, float] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def take(self, event: Event, now: float) -> bool:
        """Says whether that changes anything."""
        key = (event.source, event.job, event.attempt)
        if isinstance(event, Foreseen):
            before, self._all[key], self._heard[key] = self._all.get(key), event, now
            return before != event
        gone = [one for one in self._all if one[0] == event.source and _covers(event, one)]
        for one in gone:
            del self._all[one]
        return bool(gone)

    def expire(self, now: float) -> None:
        """Drop what is void by now."""
        for key, one in list(self._all.items()):
            if now > max(one.deadline, self._heard[key]) + EXPIRY_SECONDS:
                del self._all[key]

    def of(self, job: str, attempt: str) -> dict[str, float]:
        """What stands against an attempt, of a job: source -> deadline, the nearest where a source names several."""
        found: dict[str, float] = {}
        for one in self._all.values():
            if not one.likely and one.job in {"", job} and one.attempt in {"", attempt}:
                known = [each for each in (found.get(one.source), one.deadline) if each]
                found[one.source] = min(known, default=0.0)
        return found

    def advice(self) -> list[str]:
        """Sources that only advise."""
        return [one.source for one in self._all.values() if one.likely]


def _covers(event: Withdrawn, key: _Key) -> bool:
    return event.job in {"", key[1]} and event.attempt in {"", key[2]}
