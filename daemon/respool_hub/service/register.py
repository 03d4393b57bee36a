"""Attaching: one transaction that looks, decides and registers.

Online, in this order: the same call again; joining an attempt of the launch; choosing the run that an auto-resume
continues; the resume table. A registration of what was answered offline is past all of that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from respool.wire.errors import FormatError
from respool.wire.identity import FIRST_JOINED, joined_writer
from respool.wire.shapes import build
from respool_hub.clock import Now
from respool_hub.service.access import Caller, may_write, own_run
from respool_hub.service.admission import admitted
from respool_hub.service.attach import Known, decide
from respool_hub.service.entry import enter_attempt, enter_run
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.service.seek import chosen, home
from respool_hub.service.slots import bury, settle
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import NOBODY, AttemptRow, RunRow, SlotRow
from respoold.core.hubapi import AttachRequest, Problem, WriterSlot

MAX_SLOTS = 1 << 16


class Registered(NamedTuple):
    """The attempt as it now is, and the slot in it. `resumed`, `left_behind`: see `Registration`. `joined`: it
    existed, and the process is a further writer.
    """

    run: RunRow
    attempt: AttemptRow
    resumed: bool
    left_behind: str | None = None
    writer: int = 0
    joined: bool = False

    @property
    def by_wish(self) -> bool:
        """Whether it came by join=True: it begins where the attempt is now, and not where that began."""
        return self.joined and self.writer >= FIRST_JOINED


def register(tx: Transaction, caller: Caller, request: AttachRequest, now: Now, hub: str) -> Registered:
    """Register a process, once. Raises RefusalError; then nothing is kept."""
    entity = admitted(tx, caller, request)
    again = _again(tx, caller, request)
    if again is not None:
        return again
    _bury(tx, caller, request, now)
    if request.attempt_id:
        return _begin(tx, caller, entity, request, now, hub)
    found = home(tx, caller, entity, request, now)
    if found is not None:
        return _join(tx, request, found, now)
    if request.join:
        raise _nothing_to_join(request)
    if request.resume == "auto":
        request = chosen(tx, caller, entity, request, now)
    return _begin(tx, caller, entity, request, now, hub)


def _begin(
    tx: Transaction, caller: Caller, entity: str, request: AttachRequest, now: Now, hub: str
) -> Registered:
    known = _known(tx, caller, entity, request)
    decided = decide(request, known, now.ears.quiet, hub)
    if isinstance(decided, Problem):
        # A run that is missing is a state of things, as one that exists is: both are 409.
        raise RefusalError(decided, 409)
    run = enter_run(tx, caller, entity, request, known, decided, now)
    attempt = enter_attempt(tx, request, run, decided, now)
    for slot in _slots(request, attempt):
        attempt = settle(tx, attempt, slot)
    if attempt.attended:
        now.ears.hear(attempt.attempt_id)
    left, writer = decided.left_behind, max(request.rank, 0)
    return Registered(tx.run_of(run.id), attempt, decided.resumed, left, writer)


def _again(tx: Reader, caller: Caller, request: AttachRequest) -> Registered | None:
    """What the same call was answered before: its answer was lost on the way, or another node registered first."""
    if not request.attempt_id:
        return _same_call(tx, caller, request)
    attempt = tx.attempt(request.attempt_id)
    if attempt is None:
        return None
    run = tx.run_of(attempt.run)
    if not may_write(caller, attempt, run):
        # Whose it is, is nobody's business: launches of strangers may share a scheduler's job number.
        cause = f"The attempt id {request.attempt_id} is taken."
        raise refuse("conflict", cause, "Start the script with a RESPOOL_LAUNCH_ID of its own.")
    if run.project != request.project or request.run_id not in {run.run_id, run.alias_of}:
        raise refuse(
            "conflict",
            f"Attempt {request.attempt_id} is one of {run.project}/{run.run_id}, not of {request.run_id!r}.",
            "Derive the id from the run it belongs to.",
        )
    return Registered(run, _further(tx, request, attempt), attempt.parent is not None)


def _further(tx: Any, request: AttachRequest, attempt: AttemptRow) -> AttemptRow:
    """Another node's processes in an attempt that one node has registered."""
    known = {slot.writer: slot.incarnation for slot in tx.slots(attempt.attempt_id)}
    for slot in _slots(request, attempt) if request.writers else ():
        if known.get(slot.writer) in {None, ""}:
            attempt = settle(tx, attempt, slot)
    return attempt


def _same_call(tx: Reader, caller: Caller, request: AttachRequest) -> Registered | None:
    for slot in tx.slots_of(request.incarnation):
        attempt = tx.attempt(slot.attempt_id)
        run = tx.run_of(attempt.run) if attempt else None
        gone = run is None or run.entity == NOBODY
        if attempt is not None and run is not None and not gone and may_write(caller, attempt, run):
            first = min(one.writer for one in tx.slots(attempt.attempt_id))
            joined = slot.writer != first
            return Registered(run, attempt, attempt.parent is not None, None, slot.writer, joined)
    return None


def _known(tx: Reader, caller: Caller, entity: str, request: AttachRequest) -> Known | None:
    run = tx.run(entity, request.project, request.run_id)
    parent = tx.attempt(request.parent) if request.offline and request.parent else None
    if parent is not None and run is not None and parent.run != run.id:
        # Its parent was given a run of its own (a fresh id), and the child goes where the parent is.
        home = tx.run_of(parent.run)
        run = home if home.alias_of == request.run_id and home.entity == entity else run
    if run is None:
        return None
    own_run(caller, run)
    return Known(run, {row.attempt_id: row for row in tx.attempts(run.id)})


def _join(tx: Transaction, request: AttachRequest, to: tuple[RunRow, AttemptRow], now: Now) -> Registered:
    run, attempt = to
    if request.resume != "auto" and request.original_id != run.original_id:
        raise _misspelt(request, run)
    taken = {slot.writer for slot in tx.slots(attempt.attempt_id)}
    ranked = request.rank >= 0 and not request.join
    tries = iter(range(MAX_SLOTS))
    free = (joined_writer(request.incarnation, one) for one in tries)
    writer = request.rank if ranked else next(one for one in free if one not in taken)
    slot = SlotRow(attempt.attempt_id, writer, request.incarnation, request.node, request.pid, request.join)
    attempt = settle(tx, attempt, slot)
    now.ears.hear(attempt.attempt_id)
    return Registered(run, attempt, attempt.parent is not None, None, writer, joined=True)


def _slots(request: AttachRequest, attempt: AttemptRow) -> list[SlotRow]:
    """The processes that a request speaks of."""
    if not request.writers:
        own = (max(request.rank, 0), request.incarnation, request.node, request.pid)
        return [SlotRow(attempt.attempt_id, *own, alive=request.attended)]
    try:
        told: list[WriterSlot] = [build(WriterSlot, one) for one in request.writers[:MAX_SLOTS]]
    except FormatError as error:
        raise refuse(
            "bad-request", f"A writer cannot be read: {error}.", "Send maps of WriterSlot."
        ) from error
    return [SlotRow(attempt.attempt_id, *one, alive=request.attended) for one in told]


def _bury(tx: Transaction, caller: Caller, request: AttachRequest, now: Now) -> None:
    """What the daemon knows to have ended on its node."""
    for attempt_id in {str(key) for key in request.dead} - {request.attempt_id}:
        attempt = tx.attempt(attempt_id)
        if attempt is not None and may_write(caller, attempt, tx.run_of(attempt.run)):
            bury(tx, attempt, request.node, now.wall)


def _misspelt(request: AttachRequest, run: RunRow) -> RefusalError:
    return refuse(
        "conflict",
        f"Run ids {request.original_id!r} and {run.original_id!r} both become {run.run_id!r}, and the run is "
        f"{run.original_id!r}.",
        "Use an id that differs in letters, digits, - or _.",
        original_id=run.original_id,
    )


def _nothing_to_join(request: AttachRequest) -> RefusalError:
    problem = Problem(
        "missing",
        f"join=True, but nobody logs into run {request.project}/{request.run_id}: it has no live attempt.",
        "Start its trainer first, or leave join=True out.",
    )
    return RefusalError(problem, 409)
