"""Who has the head: decided when an attempt's first row or rewind comes.

Invariants:
- an attempt without rows changes nothing, and the first one has the head only until another has rows;
- the head goes to a descendant of the present one, or to an attempt that this hub let in after it;
- what was registered afterwards (offline) moves it only along a chain of parents, or where nobody is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from respool_hub.service.standing import Quiet, ancestors, state
from respool_hub.store.rows import AttemptRow
from respoold.core.states import State

OVER = frozenset({State.FINISHED, State.FAILED, State.PREEMPTED, State.CRASHED})


class Claim(NamedTuple):
    """The head from now on, and the attempts that changed by it."""

    head: str
    changed: list[AttemptRow]


def claim(
    attempts: Mapping[str, AttemptRow], head: str | None, who: str, first_step: int, quiet: Quiet
) -> Claim:
    """`who` has its first row, at `first_step`, or has rewound. The caller stores what changed."""
    known = dict(attempts)
    me = known[who]._replace(claimed=True)
    known[who] = me
    _order_lives(known)
    me = known[who]
    if _continues_unknown(known, head, me, first_step, quiet):
        me = me._replace(parent=head)
        known[who] = me
    if head is None or head == who or _may_take(known, head, me, quiet):
        head = _give(known, head, who)
    elif who not in ancestors(known, head):
        known[who] = me._replace(branch=True)
    head = _follow(known, head)
    return Claim(head, [row for key, row in known.items() if row != attempts[key]])


def _order_lives(known: dict[str, AttemptRow]) -> None:
    """The lives of one job follow one another by their restart count, whichever came here first: who did not know
    what it continued continues the life before.
    """
    jobs: dict[str, list[AttemptRow]] = {}
    for row in known.values():
        if row.identity and row.claimed:
            jobs.setdefault(row.identity, []).append(row)
    for lives in jobs.values():
        lives.sort(key=lambda row: (row.restart_count, row.generation, row.number))
        for before, row in pairwise(lives):
            # A parent that was inferred before gives way to a life in between that came later.
            if not row.parent_known and row.restart_count > before.restart_count:
                known[row.attempt_id] = row._replace(parent=before.attempt_id, branch=False)


def _continues_unknown(
    known: Mapping[str, AttemptRow], head: str | None, me: AttemptRow, first_step: int, quiet: Quiet
) -> bool:
    if me.parent_known or me.parent is not None or head is None or head == me.attempt_id:
        return False
    return first_step > 0 and state(known[head], quiet) in OVER


def _may_take(known: Mapping[str, AttemptRow], head: str, me: AttemptRow, quiet: Quiet) -> bool:
    if head in ancestors(known, me.attempt_id):
        return True
    if not known[head].claimed:
        return True  # it was the first, no more; when its first row comes it is one candidate of many
    if not me.offline:
        return me.number > known[head].number
    started_over = me.parent is None and me.parent_known and me.resume == "none"
    return started_over and me.number > known[head].number and state(known[head], quiet) in OVER


def _give(known: dict[str, AttemptRow], head: str | None, who: str) -> str:
    if head is not None and head != who:
        old = known[head]
        # One that is known to be dead keeps the name of its death: nobody took the run from it. Nor does what
        # was registered afterwards take anything from one that had no row.
        taken = not (old.ended or old.gone) and (old.claimed or not known[who].offline)
        known[head] = old._replace(was_head=old.claimed, superseded=old.superseded or taken)
    known[who] = known[who]._replace(was_head=True, branch=False, superseded=False)
    return who


def _follow(known: dict[str, AttemptRow], head: str) -> str:
    """A child may have come before its parent: as soon as the chain is whole, the head goes down along it."""
    while True:
        waiting = [row for row in known.values() if row.parent == head and row.claimed and not row.was_head]
        if not waiting:
            return head
        head = _give(known, head, max(waiting, key=lambda row: row.number).attempt_id)
