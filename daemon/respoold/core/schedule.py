"""The upload scheduler: what may be sent now, most urgent first, fair between runs.

A stream is one thing that can have work: an attempt's state, a writer's records, an attempt's files. It is
offered when it has some, taken at most once at a time, and put back by `done` or `failed`. What is sent is
decided when it is taken, so everything that arrived while a request was in flight goes out merged in the next.

Order: priority, then the nearest deadline, then the run that was served longest ago. While an attempt that is being
preempted has files or checkpoints to send, nobody else's are sent. A stream that failed waits by itself (full
jitter); the hub being away is the breaker's business.
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


BULK = frozenset({Priority.FILES, Priority.CHECKPOINTS})
_SOME_TIME = 1e300
"""A deadline that nobody knows is the least urgent one."""


class Schedule:
    """Pure: time and jitter come with each call."""

    def __init__(self) -> None:
        self._ready: set[Stream] = set()
        self._flying: set[Stream] = set()
        self._not_before: dict[Stream, float] = {}
        self._failures: dict[Stream, int] = {}
        self._served: dict[str, int] = {}
        self._deadlines: dict[str, float] = {}
        self._clock = 0

    def offer(self, stream: Stream) -> None:
        """This stream has work. Offering it again, or while it is being sent, is harmless."""
        self._ready.add(stream)

    def hurry(self, attempt_id: str, deadline: float | None) -> None:
        """This attempt ends at `deadline`, 0 for some time or other; None: it is not known to end."""
        if deadline is None:
            self._deadlines.pop(attempt_id, None)
        else:
            self._deadlines[attempt_id] = deadline or _SOME_TIME

    def take(self, now: float, allow: int | None = None) -> list[Stream]:
        """The streams to send now, at most `allow`; each is in flight until `done` or `failed`."""
        free = {priority: slots - self._in_flight(priority) for priority, slots in SLOTS.items()}
        taken: list[Stream] = []
        pressed = self._pressed(now)
        for stream in sorted(self._ready - self._flying, key=self._order):
            if allow is not None and len(taken) >= allow:
                break
            waits = self._not_before.get(stream, -inf) > now or (pressed and self._may_wait(stream))
            if free[stream.priority] > 0 and not waits:
                free[stream.priority] -= 1
                taken.append(stream)
                self._start(stream)
        return taken

    def overtaken(self, now: float) -> list[Stream]:
        """Files and checkpoints in flight that should wait for those of an attempt that is being preempted."""
        return [one for one in self._flying if self._may_wait(one)] if self._pressed(now) else []

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
        self._deadlines.pop(attempt_id, None)

    def wake_at(self, now: float) -> float:
        """When a waiting stream's pause ends; inf when none waits."""
        waiting = [self._not_before.get(stream, now) for stream in self._ready - self._flying]
        return min((at for at in waiting if at > now), default=inf)

    @property
    def idle(self) -> bool:
        return not self._ready and not self._flying

    def _order(self, stream: Stream) -> tuple[int, float, int, str, int]:
        deadline, served = self._deadlines.get(stream.attempt_id, inf), self._served.get(stream.attempt_id, 0)
        return stream.priority, deadline, served, stream.attempt_id, stream.part

    def _pressed(self, now: float) -> bool:
        """Whether anyone who has a deadline has files or checkpoints that could be sent, or are."""
        if not self._deadlines:
            return False
        able = {one for one in self._ready if self._not_before.get(one, -inf) <= now} | self._flying
        return any(one.priority in BULK and one.attempt_id in self._deadlines for one in able)

    def _may_wait(self, stream: Stream) -> bool:
        return stream.priority in BULK and stream.attempt_id not in self._deadlines

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
