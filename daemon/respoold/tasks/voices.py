"""What the daemon says unasked to the processes that log here, and how each of them is reached."""

from __future__ import annotations

from collections.abc import Callable

from respool.wire.messages import Message, Notice
from respoold.core.attempt import Attempt, Told

Listener = Callable[[Message, int, list[int]], None]
"""A connection's way out: a message, the request it answers (0: none), descriptors that it closes."""


SUPERSEDED = Notice(
    "superseded",
    "another attempt continues this run: what is logged here from now on stays on this attempt's own branch",
)
WITHDRAWN = Notice("withdrawn", "the machine stays: the preemption that was announced will not happen")


def gone(why: str) -> Notice:
    """What they hear of a run that was deleted at the hub."""
    stays = "what is logged from here on stays on this node, `respool spool purge` removes it"
    return Notice("deleted", f"{why.rstrip('.')}; the training goes on, but {stays}")


def preempting(standing: Told) -> Notice:
    """What the processes of an attempt hear of a notice."""
    source, deadline = standing
    text = f"{source}: this process will be preempted soon; save what it needs to go on elsewhere"
    return Notice("preempting", text, {"source": source, "deadline": deadline})


class Voices:
    """The connections of each writer."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], list[Listener]] = {}

    def add(self, attempt_id: str, slot: int, listener: Listener) -> None:
        self._listeners.setdefault((attempt_id, slot), []).append(listener)

    def remove(self, attempt_id: str, slot: int, listener: Listener) -> None:
        """That connection is over."""
        listeners = self._listeners.get((attempt_id, slot), [])
        if listener in listeners:
            listeners.remove(listener)

    def forget(self, attempt_id: str, slot: int) -> None:
        """That writer is no more."""
        self._listeners.pop((attempt_id, slot), None)

    def of(self, attempt_id: str, slot: int) -> list[Listener]:
        """Where a writer is reached now."""
        return list(self._listeners.get((attempt_id, slot), []))

    def tell(self, attempt: Attempt, notice: Notice) -> None:
        """Say something to all processes that log into an attempt."""
        for slot in attempt.writers:
            for listener in self.of(attempt.id, slot):
                listener(notice, 0, [])


def standing(attempt: Attempt) -> list[Notice]:
    """What holds for an attempt now: a process that comes back may have missed it."""
    found = [SUPERSEDED] if attempt.superseded else []
    found += [gone(attempt.deleted)] if attempt.deleted else []
    return found + ([preempting(attempt.notice)] if attempt.notice else [])
