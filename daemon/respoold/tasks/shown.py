"""What a run's history shows of the attempts on this node, as far as this node knows it: the hub's own rules, asked
of the segments that still lie here.
"""

from __future__ import annotations

from typing import NamedTuple

import trio

from respool.wire.repeats import firsts_in, reached_in
from respoold.core.attempt import Attempt
from respoold.core.lineage import Link, Visible, visible
from respoold.io.records import records_of

FIRST_SEGMENTS = 2
"""Of a trainer that is on an axis at all, so many hold a row that is."""


class Shown(NamedTuple):
    """An attempt, and the step from which a cut hides what is in it, and what its guests put there; None where nothing
    is hidden.
    """

    attempt: Attempt
    limit: int | None
    guests: int | None = None

    def shows(self, step: int | None, writer: int) -> bool:
        """Whether what this writer kept at this step of the run is part of the history."""
        one = self.attempt.writers.get(writer)
        limit = self.guests if one is not None and one.guest else self.limit
        return limit is None or step is None or step < limit


async def shown(here: list[Attempt], attempt: Attempt | None) -> list[Shown]:
    """The lineage of `attempt`, or of the newest of these of one run, the newest first."""
    chain = _lineage(here, attempt)[::-1]
    links = [_rooted(one) for one in chain]
    if len(chain) < 2:
        limits = visible(links)
    else:
        limits = await trio.to_thread.run_sync(_limits, {one.id: one for one in chain}, links)
    return [Shown(one, limit.limit, limit.guests) for one, limit in zip(chain, limits, strict=True)][::-1]


def _lineage(here: list[Attempt], attempt: Attempt | None) -> list[Attempt]:
    """The attempts that count, the newest first; stops where the lineage leaves this node."""
    by_id = {one.id: one for one in here}
    at = attempt if attempt is not None and attempt.id in by_id else (here[-1] if here else None)
    chain: list[Attempt] = []
    while at is not None and at not in chain:
        chain.append(at)
        at = by_id.get(at.file.parent or "")
    return chain


def _rooted(attempt: Attempt) -> Link:
    """The attempt for the fold, its rows behind the step that it continued with: its parent may lie elsewhere."""
    link = attempt.link
    return link if attempt.file.parent else link._replace(parent=None)


def _limits(attempts: dict[str, Attempt], links: list[Link]) -> list[Visible]:
    def reach(attempt_id: str, axis: str, value: float) -> int | None:
        one = attempts[attempt_id]
        return reached_in(records_of(one.directory, _primary(one)), axis, value)

    first = [firsts_in(records_of(one.directory, _primary(one), FIRST_SEGMENTS)) for one in attempts.values()]
    return visible([link._replace(axes=axes) for link, axes in zip(links, first, strict=True)], reach)


def _primary(attempt: Attempt) -> int:
    """Whose rows cut; -1 for nobody's."""
    return min(attempt.trainers, default=-1)
