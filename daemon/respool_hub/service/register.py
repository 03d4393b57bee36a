"""Attaching: one transaction that looks, decides and registers.

Online, in this order: the same call again; joining an attempt of the launch; choosing the run that an auto-resume
continues; the resume table. A registration of what was answered offline is past all of that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from respool.wire.choice import Standing, choose, homes
from respool.wire.errors import FormatError
from respool.wire.identity import FIRST_JOINED, attempt_id_of, joined_writer
from respool.wire.limits import MAX_RUN_ID
from respool.wire.shapes import build
from respool_hub.clock import Now
from respool_hub.service import joining, names
from respool_hub.service.access import Caller, check_not_deleted, enter_entity, may_write, own_run
from respool_hub.service.append import RUN_META
from respool_hub.service.attach import Known, Registration, decide
from respool_hub.service.fold import finite
from respool_hub.service.head import arrive
from respool_hub.service.lives import grafted
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.service.slots import bury, settle
from respool_hub.service.standing import ancestors, state
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import NOBODY, AttemptRow, RunRow, SlotRow
from respoold.core.hubapi import AttachRequest, Problem, WriterSlot
from respoold.core.states import ALIVE, State

LAST_NUMBER = 1 << 31
MAX_TEXT = 1024
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
    entity = _check(tx, caller, request)
    again = _again(tx, caller, request)
    if again is not None:
        return again
    _bury(tx, caller, request, now)
    if request.attempt_id:
        return _begin(tx, caller, entity, request, now, hub)
    home = _home(tx, caller, entity, request, now)
    if home is not None:
        return _join(tx, request, home, now)
    if request.join:
        raise _nothing_to_join(request)
    if request.resume == "auto":
        request = _chosen(tx, caller, entity, request, now)
    return _begin(tx, caller, entity, request, now, hub)


def _begin(
    tx: Transaction, caller: Caller, entity: str, request: AttachRequest, now: Now, hub: str
) -> Registered:
    known = _known(tx, caller, entity, request)
    decided = decide(request, known, now.ears.quiet, hub)
    if isinstance(decided, Problem):
        # A run that is missing is a state of things, as one that exists is: both are 409.
        raise RefusalError(decided, 409)
    run = _run(tx, caller, entity, request, known, decided, now)
    attempt = _attempt(tx, request, run, decided, now)
    for slot in _slots(request, attempt):
        attempt = settle(tx, attempt, slot)
    if attempt.attended:
        now.ears.hear(attempt.attempt_id)
    left, writer = decided.left_behind, max(request.rank, 0)
    return Registered(tx.run_of(run.id), attempt, decided.resumed, left, writer)


def _check(tx: Reader, caller: Caller, request: AttachRequest) -> str:
    if request.attempt_id:
        names.attempt_id(request.attempt_id)
    elif request.offline or not request.incarnation:
        said = "The request names neither an attempt nor an incarnation."
        raise refuse(
            "bad-request", said, "Send the attempt that was answered, or the incarnation of the call."
        )
    names.project(request.project)
    names.run_id(request.run_id)
    for named in filter(None, (request.base, request.remembered)):
        names.run_id(named)
    _check_numbers(request)
    texts = (request.launch, request.node, request.original_id, request.identity, request.incarnation)
    long = [text for text in texts if len(text) > MAX_TEXT]
    if long:
        raise refuse(
            "bad-request", f"The text {long[0][:40]!r}... is too long.", f"Use {MAX_TEXT} characters."
        )
    if request.attempt_id and request.parent == request.attempt_id:
        raise refuse("bad-request", f"Attempt {request.attempt_id} is its own parent.", "Leave parent out.")
    entity = names.entity(request.entity or caller.user)
    enter_entity(tx, caller, entity, request.project)
    check_not_deleted(tx, caller, request.attempt_id)
    if caller.attempt is not None and not (request.offline and request.attempt_id == caller.attempt):
        cause = f"The token of attempt {caller.attempt} cannot attach another."
        raise refuse("forbidden", cause, "Use an API key: respool login.")
    return entity


def _check_numbers(request: AttachRequest) -> None:
    counts = (request.restart_count, request.pid, request.generation)
    if not all(0 <= count < LAST_NUMBER for count in counts) or not -1 <= request.rank < LAST_NUMBER:
        numbers = f"restart_count {request.restart_count}, pid {request.pid}, rank {request.rank}"
        raise refuse("bad-request", f"One of {numbers} is out of range.", "Send what the scheduler says.")


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


def _home(
    tx: Reader, caller: Caller, entity: str, request: AttachRequest, now: Now
) -> tuple[RunRow, AttemptRow] | None:
    """The attempt to join, in whichever run it is."""
    auto = request.resume == "auto" and not request.join
    look = _looker(tx, entity, request, now)
    runs = homes(request.base, request.remembered, request.run_id, look) if auto else iter([request.run_id])
    for run_id in runs:
        run = tx.run(entity, request.project, run_id)
        if run is not None:
            own_run(caller, run)
            attempts = tx.attempts(run.id)
            slots = {one.attempt_id: tx.slots(one.attempt_id) for one in attempts}
            found = joining.to_join(request, attempts, slots, run.head, now.ears.quiet)
            if found is not None:
                return run, found
    return None


def _join(tx: Transaction, request: AttachRequest, home: tuple[RunRow, AttemptRow], now: Now) -> Registered:
    run, attempt = home
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


def _chosen(tx: Reader, caller: Caller, entity: str, request: AttachRequest, now: Now) -> AttachRequest:
    """The request for the run that an auto-resume continues or begins."""
    look = _looker(tx, entity, request, now)
    run_id, resume = choose(request.base, request.remembered, request.run_id, look)
    run = tx.run(entity, request.project, run_id)
    if run is not None:
        own_run(caller, run)
    else:
        resume = "auto"  # it begins where nobody is, and would continue what turns out to have been there
    original = run.original_id if run is not None else run_id
    return request._replace(run_id=run_id, original_id=original, resume=resume)


def _looker(tx: Reader, entity: str, request: AttachRequest, now: Now) -> Any:
    def look(run_id: str) -> Standing:
        run = tx.run(entity, request.project, run_id)
        head = tx.attempt(run.head) if run is not None and run.head else None
        if head is None:
            return Standing.UNKNOWN
        stands = state(head, now.ears.quiet)
        if stands in ALIVE:
            later = bool(request.identity) and request.identity == head.identity
            succeeds = later and request.restart_count > head.restart_count
            return Standing.OPEN if succeeds or request.takeover else Standing.ALIVE
        return Standing.FINISHED if stands is State.FINISHED else Standing.OPEN

    return look


def _run(
    tx: Transaction,
    caller: Caller,
    entity: str,
    request: AttachRequest,
    known: Known | None,
    decided: Registration,
    now: Now,
) -> RunRow:
    meta = {key: value for key, value in request.meta.items() if key in RUN_META and value is not None}
    if known is not None and not decided.fresh_id:
        run = known.run._replace(meta={**known.run.meta, **meta}, active_at=now.wall)
        tx.put_run(run)
        return run
    run_id = _free_id(tx, entity, request) if decided.fresh_id else request.run_id
    alias = request.run_id if decided.fresh_id else None
    named = (0, entity, request.project, run_id, request.original_id, caller.user, meta)
    return tx.add_run(RunRow(*named, None, now.wall, now.wall, alias))


def _free_id(tx: Reader, entity: str, request: AttachRequest) -> str:
    number = 2
    while True:
        ending = f"-{number}"
        candidate = request.run_id[: MAX_RUN_ID - len(ending)] + ending
        if tx.run(entity, request.project, candidate) is None:
            return candidate
        number += 1


def _attempt(
    tx: Transaction, request: AttachRequest, run: RunRow, decided: Registration, now: Now
) -> AttemptRow:
    if decided.orphan is not None:
        _adopted(tx, decided.orphan, run.head)
    others = tx.attempts(run.id)
    generation, attempt_id = request.generation, request.attempt_id
    if not attempt_id:
        generation, attempt_id = _derived(tx, request, run, others)
    attempt = AttemptRow(
        attempt_id=attempt_id,
        run=run.id,
        number=max((row.number for row in others), default=0) + 1,
        parent=_acyclic(decided.parent, attempt_id, others),
        parent_known=request.parent_known or not request.offline,
        resume=request.resume,
        launch=request.launch,
        restart_count=request.restart_count,
        node=request.node,
        pid=request.pid,
        offline=request.offline,
        attended=request.attended,
        started_at=finite(request.started_at) or 0.0,
        registered_at=now.wall,
        was_head=run.head is None,
        identity=request.identity,
        generation=generation,
    )
    tx.add_attempt(attempt)
    if run.head is None:
        tx.put_run(run._replace(head=attempt.attempt_id))
        return attempt
    return _arrived(tx, run, attempt) if request.offline else attempt


def _acyclic(parent: str | None, attempt_id: str, others: list[AttemptRow]) -> str | None:
    """The parent, unless it has come to continue what begins here."""
    line = ancestors({row.attempt_id: row for row in others}, parent) if parent else ()
    return None if attempt_id in line else parent


def _adopted(tx: Transaction, orphan: str, head: str | None) -> None:
    row = tx.attempt(orphan)
    if row is not None:
        tx.put_attempt(row._replace(parent=head))


def _arrived(tx: Transaction, run: RunRow, attempt: AttemptRow) -> AttemptRow:
    attempts = {row.attempt_id: row for row in tx.attempts(run.id)}
    decided = arrive(attempts, run.head, attempt.attempt_id, grafted(tx.orders(run.id)))
    for row in decided.changed:
        tx.put_attempt(row)
    if decided.head != run.head:
        tx.put_run(run._replace(head=decided.head))
    return {row.attempt_id: row for row in decided.changed}.get(attempt.attempt_id, attempt)


def _derived(tx: Reader, request: AttachRequest, run: RunRow, others: list[AttemptRow]) -> tuple[int, str]:
    """Generation and id of a new attempt. An id that is taken is a stranger's, whose launch has the same name, or
    that of a run which was deleted.
    """
    generation = joining.next_generation(request, others)
    while True:
        found = attempt_id_of(request.project, run.run_id, request.launch, generation)
        if tx.attempt(found) is None and tx.grave(found) is None:
            return generation, found
        generation += 1


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
