"""Which checkpoints of a run are kept: the same rule at the hub and in the spool.

Kept are the last `last` complete ones (never fewer than one), those at multiples of `every` steps, the best by
score, and the pinned ones. An incomplete one, of which some ranks have not committed, is kept as long as it is
not older than what is kept as last: it may still become whole. Of several of one step only the newest counts, and
where that is complete the others go.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any, NamedTuple


class Policy(NamedTuple):
    """`every` 0: no multiples. `mode`: "min" or "max" of the score is best; "" keeps none for its score."""

    last: int = 2
    every: int = 0
    mode: str = ""


DEFAULT = Policy(mode="min")


class Candidate(NamedTuple):
    """A checkpoint that may be dropped. `key` is the caller's; `score` what its metric was, if one was named."""

    key: Any
    step: int
    complete: bool = True
    pinned: bool = False
    score: float | None = None


def policy_of(values: Any) -> Policy:
    """A policy as a record carries it; what is not a number of a sensible size counts as not said."""
    values = values if isinstance(values, dict) else {}
    last, every, mode = values.get("last"), values.get("every"), values.get("mode")
    return Policy(
        last if _count(last) and last else DEFAULT.last,
        every if _count(every) else DEFAULT.every,
        mode if isinstance(mode, str) and mode in {"min", "max"} else DEFAULT.mode,
    )


def dropped(policy: Policy, newest_first: Sequence[Candidate]) -> list[Any]:
    """The keys of those that need not be kept. Of each name a list of its own."""
    every, newest_first = newest_first, _unreplaced(newest_first)
    complete = [one for one in newest_first if one.complete]
    last = complete[: max(1, policy.last)]
    kept = {id(one) for one in last}
    best = _best(policy, complete)
    if best is not None:
        kept.add(id(best))
    oldest = last[-1] if last else None
    for one in newest_first:
        if one.pinned or (policy.every and one.step % policy.every == 0):
            kept.add(id(one))
        if oldest is None or (not one.complete and one.step >= oldest.step):
            kept.add(id(one))
    return [one.key for one in every if id(one) not in kept]


def _unreplaced(newest_first: Sequence[Candidate]) -> list[Candidate]:
    """Without those of whose step there is a newer complete one."""
    steps: set[int] = set()
    found: list[Candidate] = []
    for one in newest_first:
        if one.step not in steps:
            found.append(one)
        if one.complete:
            steps.add(one.step)
    return found


def _best(policy: Policy, complete: Sequence[Candidate]) -> Candidate | None:
    scored = [one for one in complete if one.score is not None and not isnan(one.score)]
    if not scored or not policy.mode:
        return None
    sign = 1 if policy.mode == "min" else -1
    return min(scored, key=lambda one: sign * (one.score or 0.0))


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31
