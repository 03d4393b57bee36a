"""Which checkpoints go first when a user's spool is full, before a new one is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from respool.wire.retention import dropped, policy_of
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Share, Stage, candidate_of, saves

Held = tuple[Attempt, Share]


def spare(attempts: Iterable[Attempt], whole: Callable[[Attempt, Share], bool]) -> list[Held]:
    """What may go, in this order: copies of what the hub has; then, of each run and name, what is neither the newest
    `whole` one, nor the best, pinned, or one that is kept for its step. The oldest first. Of a sharded checkpoint of
    which not all shares lie here nobody here knows whether it is whole, so those go only once the hub has them.
    """
    held = [(one, share) for one in _in_order(attempts) for share in one.checkpoints if share.here]
    sent = [(one, share) for one, share in held if share.stage is Stage.SENT]
    waiting = [(one, share) for one, share in held if share.stage is Stage.PENDING]
    outlived = _outlived(held, whole)
    return sent + [(one, share) for one, share in waiting if (one.id, share.key) in outlived]


def _in_order(attempts: Iterable[Attempt]) -> list[Attempt]:
    return sorted(attempts, key=lambda one: one.number or 0)


def _outlived(held: list[Held], whole: Callable[[Attempt, Share], bool]) -> set[tuple[str, tuple[int, int]]]:
    lists: dict[tuple[str | None, ...], list[tuple[Attempt, list[Share]]]] = {}
    for attempt in {one.id: one for one, _ in reversed(held)}.values():
        newest_first = [share for one, share in reversed(held) if one is attempt]
        for save in saves(newest_first):
            lists.setdefault((*attempt.run, attempt.entity, save[0].name), []).append((attempt, save))
    gone: list[tuple[Attempt, list[Share]]] = []
    for each in lists.values():
        policy = policy_of(each[0][1][0].keep)._replace(last=1)
        gone += dropped(policy, [candidate_of(both, both[1], partial(whole, both[0])) for both in each])
    return {(attempt.id, share.key) for attempt, save in gone for share in save}
