"""Time, given in from outside, and who was heard when."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol


class Clock(Protocol):
    """`wall` is shown and stored, and compared with nothing but a key's expiry; `steady` only grows, and counts
    while the hub runs.
    """

    def wall(self) -> float: ...

    def steady(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.monotonic()


class Ears:
    """When each attempt was last heard, in hub uptime. A hub that was away has missed nothing by that: for
    what it has not heard yet, the clock starts with the hub.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.steady()
        self._heard: dict[str, float] = {}

    def hear(self, attempt_id: str) -> None:
        """A sign of life."""
        self._heard[attempt_id] = self._clock.steady()

    def quiet(self, attempt_id: str) -> float:
        """Seconds of hub uptime since anything was heard."""
        return self._clock.steady() - self._heard.get(attempt_id, self._start)


class Now(NamedTuple):
    """The two clocks and the ears as one transaction sees them."""

    wall: float
    ears: Ears
