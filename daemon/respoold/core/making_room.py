"""Which checkpoints go first when a user's spool is full, before a new one is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from respool.wire.retention import Candidate, dropped, policy_of
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Share, Stage

Held = tuple[Attempt, Share]


def spare(attempts: Iterable[Attempt], whole: Callable[[Attempt, Share], bool]) -> list[Held]:
    """What may go, in this order: copies of what the hub has; then, of each run, name and rank, what is neither the
    newest `whole` one, nor the best, pinned, or one that is kept for its step. The oldest first. Of a sharded
    checkpoint nobody here knows whether the newer ones are whole, so those go only once the hub has them.
    """
    held = [(one, share) for one in _in_order(attempts) for share in one.checkpoints if share.here]
    sent = [(one, share) for one, share in held if share.stage is Stage.SENT]
    lists: dict[tuple[str | None, ...], list[Held]] = {}
    for one, share in held:
        if share.world == 1:
            lists.setdefault((*one.run, one.entity, share.name), []).insert(0, (one, share))
    outlived = {key for each in lists.values() for key in _outlived(each, whole)}
    waiting = [(one, share) for one, share in held if share.stage is Stage.PENDING]
    return sent + [(one, share) for one, share in waiting if (one.id, share.key) in outlived]


def _in_order(attempts: Iterable[Attempt]) -> list[Attempt]:
    return sorted(attempts, key=lambda one: one.number or 0)


def _outlived(
    newest_first: list[Held], whole: Callable[[Attempt, Share], bool]
) -> list[tuple[str, tuple[int, int]]]:
    policy = policy_of(newest_first[0][1].keep)._replace(last=1)
    candidates = [
        Candidate((one.id, share.key), share.step, whole(one, share), share.pinned, share.score)
        for one, share in newest_first
    ]
    return dropped(policy, candidates)
