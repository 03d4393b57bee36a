"""Who continues whom, where the answer that an attempt was given without the hub left that open.

The lives of one job follow one another by their restart count, and the attempts of one life by their generation,
whichever came here first: the next begins when the one before is over. So a life continues the one before, unless
it was started over; what its node believed it continued is only older than that, since the node has not seen the
life in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

from respool_hub.service.standing import ancestors
from respool_hub.store.rows import AttemptRow, OrderRow

Known = dict[str, AttemptRow]


def order_lives(known: Known, identity: str, fixed: Collection[str]) -> None:
    """Give each life of one job the parent it has, in place. `fixed`: those whose parent was set by hand."""
    if not identity:
        return
    depths = _depths(known)
    job = [row for row in known.values() if row.identity == identity]
    job.sort(key=lambda row: (*_age(row), depths[row.attempt_id], row.number))
    lived = _with_descendants(known, job)
    names = [row.attempt_id for row in job if row.attempt_id in lived]
    for before, name in pairwise(names):
        row = known[name]
        later = _age(row) > _age(known[before])
        if later and name not in fixed and row.parent != before and _may_follow(known, row, before):
            known[name] = row._replace(parent=before)


def adopt(known: Known, head: str | None, who: str) -> None:
    """Make `who`, or the one without rows that it began from, a child of the head, if nobody knows of what."""
    top = known[origin(known, who)]
    if head is not None and is_orphan(known, top, known[head]):
        known[top.attempt_id] = top._replace(parent=head)


def is_orphan(known: Mapping[str, AttemptRow], one: AttemptRow, head: AttemptRow) -> bool:
    """Whether nobody knows what `one` continued, and it may have been the head. Not while a link of the head's own
    chain is missing: that one may continue `one`.
    """
    line = ancestors(known, head.attempt_id)
    unknown = one.parent is None and not one.parent_known and one.attempt_id not in {head.attempt_id, *line}
    return unknown and all(name in known for name in line) and not is_later(head, one)


def origin(known: Mapping[str, AttemptRow], who: str) -> str:
    """`who`, or the oldest of the attempts without rows through which it began: they had nothing of their own."""
    for name in ancestors(known, who):
        if name not in known or known[name].claimed:
            break
        who = name
    return who


def follows(known: Mapping[str, AttemptRow], one: str, other: str) -> bool:
    """Whether `one` is `other` or continues it, over however many."""
    return one == other or other in ancestors(known, one)


def is_later(one: AttemptRow, other: AttemptRow) -> bool:
    """Whether `one` is a later life of the same job, or a later start in one life."""
    return bool(one.identity) and one.identity == other.identity and _age(one) > _age(other)


def wants_new(row: AttemptRow) -> bool:
    """Whether it was started over, and not merely begun where nobody knew of any other."""
    return row.parent is None and row.parent_known and row.resume in {"none", "never"}


def grafted(orders: Iterable[OrderRow]) -> set[str]:
    """The attempts whose parent was set by hand."""
    return {order.attempt_id for order in orders if order.what == "graft" and not order.undone}


def _age(row: AttemptRow) -> tuple[int, int]:
    return row.restart_count, row.generation


def _may_follow(known: Known, row: AttemptRow, before: str) -> bool:
    if wants_new(row) or follows(known, before, row.attempt_id):
        return False
    return row.parent is None or not row.parent_known or follows(known, before, row.parent)


def _with_descendants(known: Known, job: list[AttemptRow]) -> set[str]:
    """Those that have rows, or that one with rows began from."""
    found: set[str] = set()
    for row in job:
        if row.claimed:
            found.update({row.attempt_id, *ancestors(known, row.attempt_id)})
    return found


def _depths(known: Known) -> dict[str, int]:
    """How many came before each."""
    return {name: len(ancestors(known, name)) for name in known}
