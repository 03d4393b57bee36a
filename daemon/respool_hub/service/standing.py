"""Where an attempt stands: its state, derived whenever it is asked for, and whether the head left it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from respool.wire.frames import NO_STEP
from respool.wire.identity import FIRST_JOINED
from respool_hub.store.rows import AttemptRow, RunRow, WriterRow
from respoold.core.lineage import Link
from respoold.core.states import ALIVE, Facts, State, state_of

Quiet = Callable[[str], float]
"""Seconds of hub uptime since an attempt was heard."""


def state(attempt: AttemptRow, quiet: Quiet) -> State:
    """The attempt's state now."""
    return state_of(
        Facts(
            marked=attempt.marked,
            ended=attempt.ended,
            exit_code=attempt.exit_code,
            gone=attempt.gone,
            superseded=attempt.superseded or attempt.branch,
            quiet=quiet(attempt.attempt_id),
            attended=attempt.attended,
            noticed=attempt.noticed,
            explicit=attempt.explicit,
        )
    )


def run_attempt(run: RunRow, attempts: Iterable[AttemptRow], quiet: Quiet) -> AttemptRow | None:
    """The attempt whose state is the run's: a younger one that is alive, else the head."""
    by_number = sorted(attempts, key=lambda attempt: -attempt.number)
    for attempt in by_number:
        if attempt.attempt_id == run.head or state(attempt, quiet) in ALIVE:
            return attempt
    return by_number[0] if by_number else None


def left(attempt: AttemptRow, run: RunRow, head_number: int | None) -> bool:
    """Whether the head is elsewhere for good: it was here, or this attempt is older than who has it, or it
    asked and was not given it.
    """
    if run.head is None or run.head == attempt.attempt_id:
        return False
    older = head_number is not None and attempt.number < head_number
    return attempt.was_head or attempt.branch or older


def links(
    attempts: Iterable[AttemptRow], writers: Iterable[WriterRow], guests: Collection[tuple[str, int]] = ()
) -> dict[str, Link]:
    """The attempts of a run as the lineage sees them. The primary is the lowest writer; who came without a rank, and
    the daemon's own, never are. Guests do not count at all.
    """
    found = {row.attempt_id: _bare(row) for row in attempts}
    seen: set[str] = set()
    for row in writers:
        if (row.attempt_id, row.writer) in guests:
            continue
        link = found[row.attempt_id]
        link = link._replace(named=link.named or row.named)
        last = max(link.last_step, row.last_step)
        if row.attempt_id in seen or row.writer >= FIRST_JOINED:
            found[row.attempt_id] = link._replace(last_step=last)
            continue
        seen.add(row.attempt_id)
        found[row.attempt_id] = link._replace(last_step=last, first_steps=row.steps, rewound=row.cut)
    return found


def _bare(attempt: AttemptRow) -> Link:
    floats = attempt.parent is not None and attempt.parent != attempt.believed
    found = Link(attempt.attempt_id, attempt.parent, ordered=attempt.ordered)
    return found._replace(named=False, floats=floats, base=attempt.base)


def ancestors(attempts: Mapping[str, AttemptRow], attempt_id: str) -> list[str]:
    """The attempt's parent, that one's parent, and so on; a parent that is not known is the last."""
    chain: dict[str, None] = {}
    at = attempts.get(attempt_id)
    while at is not None and at.parent is not None and at.parent not in chain:
        chain[at.parent] = None
        at = attempts.get(at.parent)
    return list(chain)


def number_or_none(step: int) -> int | None:
    """A step as JSON shows it."""
    return None if step == NO_STEP else step
