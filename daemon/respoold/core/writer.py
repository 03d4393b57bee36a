"""The writers of an attempt on this node, and what they amount to together.

Those that came by join=True do not count as long as there are others: an evaluator that outlives its trainer keeps
no run alive, and its end is no run's end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from respool.wire.attempt import Request, WriterFile
from respool.wire.identity import FIRST_JOINED
from respoold.core.states import Facts

SAMPLES = "system:"
"""So begins the incarnation of a daemon's own writer."""


class Writer:
    """One process and its slot. `alive`: it runs. `gone`: it does not, and all that it wrote was read. `exit_code`:
    what its parent saw it end with, where somebody asked that (`respool run`). `status`: the exit code that the kernel
    told of, where it does. `above`: the pids that it descended from, `died_at`: when it was seen to end, on the
    daemon's clock; neither outlives the daemon.
    """

    def __init__(self, paper: WriterFile) -> None:
        self.paper = paper
        self.alive = False
        self.gone = False
        self.exit_code: int | None = None
        self.status: int | None = None
        self.above: frozenset[int] = frozenset()
        self.died_at: float | None = None

    @property
    def slot(self) -> int:
        return self.paper.writer

    @property
    def daemons(self) -> bool:
        """Whether it is a daemon's own, for samples of the load: no process that anybody else need know of."""
        return self.paper.incarnation.startswith(SAMPLES)

    @property
    def guest(self) -> bool:
        """Whether it came by join=True: it counts its steps as it pleases."""
        return self.paper.joined and not self.daemons


class End(NamedTuple):
    """How a writer stands. `ended`: its end was recorded, with `exit_code`, `explicit` by finish()."""

    slot: int
    joined: bool = False
    alive: bool = False
    gone: bool = False
    ended: bool = False
    exit_code: int | None = None
    explicit: bool = False

    @property
    def over(self) -> bool:
        return self.ended or self.gone


def paper_of(request: Request) -> WriterFile:
    """What `attempt.json` says of the process that made the attempt."""
    return WriterFile(
        request.writer,
        request.incarnation,
        request.boot_id,
        request.pid,
        request.start_time,
        request.node,
        request.join,
        request.started_at,
    )


def primary_of(slots: Iterable[int]) -> int | None:
    """Whose rows decide the step and whose end counts: rank 0, else the lowest that came with the launch."""
    return min(slots, key=lambda slot: (slot >= FIRST_JOINED, slot), default=None)


def counted(ends: Iterable[End]) -> list[End]:
    """The writers whose life is the attempt's."""
    every = list(ends)
    return [end for end in every if not end.joined] or every


def together(ends: Iterable[End]) -> Facts:
    """The facts of an attempt: while one of its writers is not over there is no end. Then the primary's recorded
    end, else a recorded failure of any, else it is gone as soon as one is, else all have ended with 0.
    """
    those = counted(ends)
    if not those or not all(end.over for end in those):
        return Facts(quiet=None)
    last = _decisive(those)
    if last.ended:
        return Facts(ended=True, exit_code=last.exit_code, explicit=last.explicit, quiet=None)
    return Facts(gone=True, quiet=None)


def _decisive(ends: list[End]) -> End:
    primary = primary_of(end.slot for end in ends)
    first = next(end for end in ends if end.slot == primary)
    if first.ended:
        return first
    failed = [end for end in ends if end.ended and end.exit_code != 0]
    gone = [end for end in ends if not end.ended]
    return (failed or gone)[0]
