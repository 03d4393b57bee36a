"""Which attempt of its launch a process joins, as a further writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from respool_hub.service.standing import Quiet, state
from respool_hub.store.rows import AttemptRow, SlotRow
from respoold.core.hubapi import AttachRequest
from respoold.core.states import State

LIVING = frozenset({State.RUNNING, State.PREEMPTING, State.SILENT})

Slots = Mapping[str, Sequence[SlotRow]]
"""The writers of each attempt."""


def to_join(
    request: AttachRequest, attempts: Sequence[AttemptRow], slots: Slots, head: str | None, quiet: Quiet
) -> AttemptRow | None:
    """With join=True the head if it lives, else the newest that does; else the newest of this launch, if that lives
    and this rank's slot was never used, nor any slot by this process. A rank may also come after all others have
    finished; not after they died, for who comes then begins the next attempt.
    """
    living = [one for one in attempts if state(one, quiet) in LIVING]
    if request.join:
        heads = [one for one in living if one.attempt_id == head]
        return next(iter(heads or living[-1:]), None)
    newest = max(_of_launch(request, attempts), key=lambda one: one.generation, default=None)
    if newest is None or not (newest in living or _late(request, newest, head, quiet)):
        return None
    taken = slots.get(newest.attempt_id, ())
    process = request.incarnation.rpartition(":")[0]
    used = any(slot.writer == request.rank or slot.process == process for slot in taken)
    return None if used else newest


def next_generation(request: AttachRequest, attempts: Sequence[AttemptRow]) -> int:
    """The number of the attempt that this process begins, among those of its launch in this run."""
    known = max((one.generation + 1 for one in _of_launch(request, attempts)), default=0)
    return max(known, request.generation)


def _late(request: AttachRequest, newest: AttemptRow, head: str | None, quiet: Quiet) -> bool:
    finished = state(newest, quiet) is State.FINISHED and head in {None, newest.attempt_id}
    return finished and request.rank >= 0


def _of_launch(request: AttachRequest, attempts: Sequence[AttemptRow]) -> list[AttemptRow]:
    return [one for one in attempts if request.launch and one.launch == request.launch]
