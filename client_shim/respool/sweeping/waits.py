"""How long an agent waits, and how often it asks."""

from __future__ import annotations

import random
from time import monotonic

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0


class Waits:
    """Longer and longer, with jitter; of each reason so many seconds in all, from its first time on."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: dict[str, float] = {}
        self._next = FIRST_PAUSE

    def over(self, why: str) -> bool:
        """Whether the patience with this reason is at its end."""
        now = monotonic()
        # Another reason than before begins anew: the hub was there in between.
        self._since = {why: self._since.get(why, now)}
        return now - self._since[why] >= self._patience

    def pause(self) -> float:
        """Seconds until it asks again, once more when the patience is at its end."""
        found, self._next = self._next, min(self._next * 2, LONGEST_PAUSE)
        found *= random.uniform(0.7, 1.3)  # noqa: S311 - jitter, so that a fleet does not ask in step
        left = self._patience - (monotonic() - min(self._since.values(), default=monotonic()))
        return max(0.0, min(found, left))
