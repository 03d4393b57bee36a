"""What one daemon of a cluster asks its controller for all of them, and the hub passes on.

A controller that every node asks is an outage. So a daemon asks only while the hub's answer to its heartbeat says
that it leads its cluster; what it found goes up with the next heartbeat, and to every other daemon with the answer to
theirs. Where the hub is away nobody leads, and nobody asks. Pure: `now` in seconds on a clock of the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from respoold.core.notice import Event, Foreseen, Withdrawn
from respoold.core.notice_words import SLURM, SLURM_LIMIT

LEASE_SECONDS = 90.0
"""How long a daemon leads that is not heard any more."""
MAX_JOBS = 10_000
_IDENTITY = re.compile(r"slurm:(?:([^:]*):)?(\d+(?:_\d+)?)")
Found = dict[str, list[Any]]
"""Of jobs whose end is near: [source, deadline], by the job's number (`33_3` in an array)."""


def cluster_of(identity: str) -> tuple[str, str] | None:
    """A SLURM job's cluster and number; None for any other's identity."""
    named = _IDENTITY.fullmatch(identity)
    return (named[1] or "", named[2]) if named else None


class Bulletin:
    """One daemon's part in it."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._found: dict[str, Found] = {}

    def led(self, now: float) -> list[str]:
        """The clusters that are ours to ask."""
        return sorted(cluster for cluster, until in self._until.items() if now < until)

    def found(self, cluster: str, jobs: Found) -> bool:
        """Take what the controller said; whether that is news."""
        before, self._found[cluster] = self._found.get(cluster), jobs
        return jobs != (before or {})

    def watched(self, identities: Iterable[str], now: float) -> dict[str, dict[str, Any]]:
        """For a heartbeat: the clusters of the jobs here, those jobs, and what was found where we lead."""
        asked: dict[str, dict[str, Any]] = {}
        for identity in identities:
            named = cluster_of(identity)
            if named is not None:
                asked.setdefault(named[0], {"jobs": []})["jobs"].append(named[1])
        for cluster in set(self.led(now)) & asked.keys():
            asked[cluster]["found"] = self._found.get(cluster)
        return asked

    def answered(self, asked: Iterable[str], leads: Iterable[str], now: float) -> None:
        """The hub says which of the clusters that a heartbeat named we lead."""
        given = set(leads)
        for cluster in asked:
            if cluster in given:
                self._until[cluster] = now + LEASE_SECONDS
            else:
                self._until.pop(cluster, None)
                self._found.pop(cluster, None)


def events(identities: Iterable[str], foreseen: dict[str, Any]) -> list[Event]:
    """What the hub's answer means for these jobs. A cluster that it does not name is one that nobody asks about."""
    said: list[Event] = []
    for identity in identities:
        named = cluster_of(identity)
        jobs = foreseen.get(named[0]) if named is not None else None
        if named is not None and isinstance(jobs, dict):
            said += _of_job(identity, jobs.get(named[1]))
    return said


def _of_job(identity: str, found: Any) -> list[Event]:
    source, deadline = found if isinstance(found, list) and len(found) == 2 else ("", 0.0)
    known = {SLURM, SLURM_LIMIT}
    said: list[Event] = [Withdrawn(one, identity) for one in sorted(known - {source})]
    if source in known and isinstance(deadline, int | float):
        said.append(Foreseen(source, float(deadline), identity))
    return said
