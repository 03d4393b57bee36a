"""Who has the head: decided when an attempt's first row or rewind comes, and when one is registered afterwards.

Invariants:
- an attempt without rows changes nothing, and the first one has the head only until another has rows;
- the head goes to a descendant of the present one, to a later life of its job, or to an attempt that this hub let
  in after it;
- what was registered afterwards (offline) moves it only along a chain of parents or of lives, or where nobody is
  left; then the order of arrival decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from respool.wire.frames import NO_STEP
from respool_hub.service.lives import adopt, follows, is_later, order_lives, origin
from respool_hub.service.standing import Quiet, ancestors, state
from respool_hub.store.rows import AttemptRow
from respoold.core.states import State

OVER = frozenset({State.FINISHED, State.FAILED, State.PREEMPTED, State.CRASHED})


class Claim(NamedTuple):
    """The head from now on, and the attempts that changed by it."""

    head: str | None
    changed: list[AttemptRow]


def claim(
    attempts: Mapping[str, AttemptRow],
    head: str | None,
    who: str,
    first_step: int,
    quiet: Quiet,
    fixed: Collection[str] = (),
    head_first: int = NO_STEP,
) -> Claim:
    """`who` has its first row, at `first_step`, or has rewound. The caller stores what changed. `fixed`: attempts
    whose parent was set by hand. `head_first`: where the head began; what nobody knows the parent of, comes from
    another node and begins before that came rather before it.
    """
    known = dict(attempts)
    known[who] = known[who]._replace(claimed=True)
    order_lives(known, known[who].identity, fixed)
    # One node's attempts come in their order, wherever the later one begins.
    same = head is not None and known[head].node == known[who].node
    after = first_step > 0 and (same or first_step >= head_first)
    if after and head is not None and state(known[head], quiet) in OVER:
        adopt(known, head, who)
    if head is None or head == who or _may_take(known, head, who, quiet):
        head = _give(known, head, who)
    elif not follows(known, head, who):
        known[who] = known[who]._replace(branch=True)
    return _settled(attempts, known, head, who)


def arrive(
    attempts: Mapping[str, AttemptRow], head: str | None, who: str, fixed: Collection[str] = ()
) -> Claim:
    """`who`, without rows, was registered afterwards: it may be the link that a chain lacked."""
    known = dict(attempts)
    order_lives(known, known[who].identity, fixed)
    return _settled(attempts, known, head, who)


def _settled(
    attempts: Mapping[str, AttemptRow], known: dict[str, AttemptRow], head: str | None, who: str
) -> Claim:
    moved = {name for name, row in known.items() if row.parent != attempts[name].parent} | {who}
    if head is not None:
        head = _follow(known, head, moved)
        for name in [head, *ancestors(known, head)]:
            if name in known:
                known[name] = known[name]._replace(branch=False)
    return Claim(head, [row for name, row in known.items() if row != attempts[name]])


def _may_take(known: Mapping[str, AttemptRow], head: str, who: str, quiet: Quiet) -> bool:
    me, has = known[who], known[head]
    if follows(known, who, head) or follows(known, head, who):
        return follows(known, who, head)
    if not has.claimed or is_later(me, has):
        return True  # without a row it was the first, no more; with its first row it is one candidate of many
    if is_later(has, me):
        return False
    if not me.offline:
        return me.number > has.number
    first = known[origin(known, who)]
    started_over = first.parent is None and first.parent_known and first.resume == "none"
    return started_over and first.number > has.number and _is_whole(known, head) and state(has, quiet) in OVER


def _is_whole(known: Mapping[str, AttemptRow], who: str) -> bool:
    """Whether all that it continues is here."""
    return all(name in known for name in ancestors(known, who))


def _give(known: dict[str, AttemptRow], head: str | None, who: str) -> str:
    if head is not None and head != who:
        old, new = known[head], known[who]
        # One that is known to be dead keeps the name of its death: nobody took the run from it. Nor does what
        # was registered afterwards take anything from one that had no row.
        dead = old.ended or old.gone or is_later(new, old)
        taken = not dead and (old.claimed or not new.offline)
        known[head] = old._replace(was_head=old.claimed, superseded=old.superseded or taken)
    known[who] = known[who]._replace(was_head=True, branch=False, superseded=False)
    return who


def _follow(known: dict[str, AttemptRow], head: str, moved: set[str]) -> str:
    """A child may have come before its parent: as soon as the chain is whole, the head goes down along it."""
    while True:
        waiting = []
        for name, row in known.items():
            if row.claimed and not row.was_head and name != head:
                line = [name, *ancestors(known, name)]
                if head in line and not moved.isdisjoint(line[: line.index(head) + 1]):
                    waiting.append((-line.index(head), row.number, name))
        if not waiting:
            return head
        head = _give(known, head, max(waiting)[2])
        moved.add(head)
