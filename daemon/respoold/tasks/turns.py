"""The turns in which files and checkpoints go to a hub: each can be stopped, at the cost of the chunks in flight.

That is done when somebody else is about to be preempted, and when an attempt that is hands over a newer checkpoint
than the one that is on its way: what a restart needs must arrive in the seconds that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from respoold.core.checkpoints import Share
from respoold.core.schedule import Priority, Schedule, Stream


class Turn:
    """One turn. `share`: the checkpoint that it moves."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.share: Share | None = None


class Turns:
    """Those of one uplink that are under way."""

    def __init__(self) -> None:
        self._all: dict[Stream, Turn] = {}

    @contextmanager
    def taken(self, stream: Stream) -> Iterator[Turn]:
        """A turn for as long as the block; stopped or not, its scope says."""
        turn = self._all[stream] = Turn()
        try:
            with turn.scope:
                yield turn
        finally:
            del self._all[stream]

    def moving(self, stream: Stream, share: Share) -> None:
        """This stream's turn moves that checkpoint."""
        if stream in self._all:
            self._all[stream].share = share

    def give_way(self, schedule: Schedule, newest: Callable[[str], Share | None]) -> None:
        """Stop what is overtaken. `newest`: the checkpoint that an attempt should be sending, if it has a deadline."""
        for stream in schedule.overtaken(trio.current_time()):
            if stream in self._all:
                self._all[stream].scope.cancel()
        for stream, turn in self._all.items():
            wanted = newest(stream.attempt_id) if stream.priority is Priority.CHECKPOINTS else None
            if wanted is not None and turn.share is not None and wanted.key != turn.share.key:
                turn.scope.cancel()
