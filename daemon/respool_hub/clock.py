"""Time, given in from outside, and who was heard when."""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

NOTICE_GRACE = 300.0
LONGEST_NOTICE = 3600.0


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
        self._notices: dict[str, float] = {}

    def hear(self, attempt_id: str) -> None:
        """A sign of life."""
        self._heard[attempt_id] = self._clock.steady()

    def quiet(self, attempt_id: str) -> float:
        """Seconds of hub uptime since anything was heard."""
        return self._clock.steady() - self._heard.get(attempt_id, self._start)

    def notice(self, attempt_id: str, seconds: float) -> None:
        """A preemption notice stands, and `seconds` were left when it came (0: nobody knows)."""
        lasts = min(seconds, LONGEST_NOTICE) if seconds > 0 else LONGEST_NOTICE
        self._notices[attempt_id] = self._clock.steady() + lasts + NOTICE_GRACE

    def outlived(self, attempt_id: str) -> bool:
        """Whether the time that its notice left it is over for good; who lives then was spared."""
        unknown = self._start + LONGEST_NOTICE + NOTICE_GRACE
        return self._clock.steady() > self._notices.get(attempt_id, unknown)


class Now(NamedTuple):
    """The two clocks and the ears as one transaction sees them."""

    wall: float
    ears: Ears
