"""The upload scheduler: what may be sent now, most urgent first, fair between runs.

A stream is one thing that can have work: an attempt's state, a writer's records, an attempt's files. It is
offered when it has some, taken at most once at a time, and put back by `done` or `failed`. What is sent is
decided when it is taken, so everything that arrived while a request was in flight goes out merged in the next.

Order: priority, then the run that was served longest ago. A stream that failed waits by itself (full jitter);
the hub being away is the breaker's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from math import inf
from typing import NamedTuple

from respoold.core.attempt import Attempt
from respoold.core.backoff import delay


class Priority(IntEnum):
    """State changes, then rows, then files, then checkpoints."""

    STATE = 0
    ROWS = 1
    FILES = 2
    CHECKPOINTS = 3


class Stream(NamedTuple):
    """What is sent for whom. `part` is a writer's number for rows."""

    priority: Priority
    attempt_id: str
    part: int = 0


SLOTS = {Priority.STATE: 4, Priority.ROWS: 4, Priority.FILES: 2, Priority.CHECKPOINTS: 2}
"""Requests in flight at most. Rows and files have slots of their own, so that neither starves the other."""


class Schedule:
    """Pure: time and jitter come with each call."""

    def __init__(self) -> None:
        self._ready: set[Stream] = set()
        self._flying: set[Stream] = set()
        self._not_before: dict[Stream, float] = {}
        self._failures: dict[Stream, int] = {}
        self._served: dict[str, int] = {}
        self._clock = 0

    def offer(self, stream: Stream) -> None:
        """This stream has work. Offering it again, or while it is being sent, is harmless."""
        self._ready.add(stream)

    def take(self, now: float, allow: int | None = None) -> list[Stream]:
        """The streams to send now, at most `allow`; each is in flight until `done` or `failed`."""
        free = {priority: slots - self._in_flight(priority) for priority, slots in SLOTS.items()}
        taken: list[Stream] = []
        for stream in sorted(self._ready - self._flying, key=self._order):
            if allow is not None and len(taken) >= allow:
                break
            if free[stream.priority] > 0 and self._not_before.get(stream, -inf) <= now:
                free[stream.priority] -= 1
                taken.append(stream)
                self._start(stream)
        return taken

    def done(self, stream: Stream) -> None:
        """Sent and answered. Offer it again if it has more."""
        self._flying.discard(stream)
        self._failures.pop(stream, None)
        self._not_before.pop(stream, None)

    def failed(self, stream: Stream, now: float, jitter: float, retry_after: float | None = None) -> None:
        """Not done: it is ready again after its pause."""
        self._flying.discard(stream)
        count = self._failures.get(stream, 0)
        self._failures[stream] = count + 1
        self._not_before[stream] = now + delay(count, jitter, retry_after)
        self._ready.add(stream)

    def hasten(self) -> None:
        """The hub is back, or a deadline is near: nobody waits for his pause any longer."""
        self._not_before.clear()

    def forget(self, attempt_id: str) -> None:
        """An attempt is complete: its streams are no more."""
        for stream in [stream for stream in self._ready if stream.attempt_id == attempt_id]:
            self._ready.discard(stream)
            self._failures.pop(stream, None)
            self._not_before.pop(stream, None)
        self._served.pop(attempt_id, None)

    def wake_at(self, now: float) -> float:
        """When a waiting stream's pause ends; inf when none waits."""
        waiting = [self._not_before.get(stream, now) for stream in self._ready - self._flying]
        return min((at for at in waiting if at > now), default=inf)

    @property
    def idle(self) -> bool:
        return not self._ready and not self._flying

    def _order(self, stream: Stream) -> tuple[int, int, str, int]:
        return stream.priority, self._served.get(stream.attempt_id, 0), stream.attempt_id, stream.part

    def _start(self, stream: Stream) -> None:
        self._clock += 1
        self._served[stream.attempt_id] = self._clock
        self._ready.discard(stream)
        self._flying.add(stream)

    def _in_flight(self, priority: Priority) -> int:
        return sum(1 for stream in self._flying if stream.priority == priority)


def streams_of(attempt: Attempt) -> Iterator[Stream]:
    """What of an attempt is to be sent."""
    if attempt.deleted:
        return
    if not attempt.registered or attempt.unreported() or attempt.pass_.waiting:
        yield Stream(Priority.STATE, attempt.id)
    if attempt.registered and not attempt.pass_.waiting:
        for writer, tail in attempt.tails.items():
            if tail.extents:
                yield Stream(Priority.ROWS, attempt.id, writer)
        if attempt.pending_versions():
            yield Stream(Priority.FILES, attempt.id)
        if attempt.checkpoints.pending:
            yield Stream(Priority.CHECKPOINTS, attempt.id)
