"""What a run's history shows of the attempts in this node's spools: the hub's own rules, asked of what lies here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from respool.spool_history import Earlier, cut_of, frames_of, lineage_of, segments_of
from respool.wire.frames import Frame
from respool.wire.identity import FIRST_JOINED
from respool.wire.repeats import firsts_in, lower, reached_in, repeated

FIRST_SEGMENTS = 2
"""Of a trainer that is on an axis at all, so many hold a row that is."""


class Shown(NamedTuple):
    """An attempt, and the step from which a cut hides what is in it, and what its guests put there, who came by
    join=True; None where nothing is hidden.
    """

    attempt: Earlier
    limit: int | None
    guests: int | None = None

    def shows(self, step: int, writer: int) -> bool:
        """Whether what this writer kept at this step of the run is part of the history."""
        guest = any(one.joined and one.writer == writer for one in self.attempt.writers)
        limit = self.guests if guest else self.limit
        return limit is None or step < limit

    def behind(self, cut: int | None, *, explicit: bool) -> Shown:
        """The same behind a cut of a younger attempt; only explicit ones hide what guests did."""
        guests = lower(self.guests, cut) if explicit else self.guests
        return self._replace(limit=lower(self.limit, cut), guests=guests)


def shown(attempts: list[Earlier], head: Earlier | None) -> list[Shown]:
    """The lineage of `head`, the newest first."""
    chain = lineage_of(attempts, head)[::-1]
    known = {one.file.attempt_id: one for one in chain}
    found: list[Shown] = []

    def reach(attempt_id: str, axis: str, value: float) -> int | None:
        return reached_in(_records(known[attempt_id]), axis, value)

    for one in chain:
        cut = cut_of(one)
        if found and one.view.cut is None:
            ancestors = [(part.attempt.file.attempt_id, part.limit) for part in found]
            cut = lower(cut, repeated(firsts_in(_records(one, FIRST_SEGMENTS)), ancestors, reach))
        found = [part.behind(cut, explicit=one.view.cut is not None) for part in found]
        found.append(Shown(one, None))
    return found[::-1]


def _records(one: Earlier, most: int | None = None) -> Iterator[Frame]:
    """What is left of the first `most` segments of its primary."""
    slots = [writer.writer for writer in one.writers if not writer.joined]
    if one.directory and slots:
        primary = min(slots, key=lambda slot: (slot >= FIRST_JOINED, slot))
        for segment in segments_of(one.directory, primary)[:most]:
            yield from frames_of(one.directory, segment)
