"""Attaching: one transaction that looks, decides (`service.attach`) and registers."""

from __future__ import annotations

from typing import NamedTuple

from respool.wire.limits import MAX_RUN_ID
from respool_hub.clock import Now
from respool_hub.service import names
from respool_hub.service.access import Caller, check_not_deleted, enter_entity, may_write, own_run
from respool_hub.service.append import RUN_META
from respool_hub.service.attach import Known, Registration, decide
from respool_hub.service.fold import finite
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import AttemptRow, RunRow
from respoold.core.hubapi import AttachRequest, Problem

LAST_NUMBER = 1 << 31
MAX_TEXT = 1024


class Registered(NamedTuple):
    """The attempt as it now is. `resumed`, `left_behind`: see `Registration`."""

    run: RunRow
    attempt: AttemptRow
    resumed: bool
    left_behind: str | None = None


def register(tx: Transaction, caller: Caller, request: AttachRequest, now: Now, hub: str) -> Registered:
    """Register an attempt, once. Raises RefusalError; then nothing is kept."""
    entity = _check(tx, caller, request)
    again = _again(tx, caller, request)
    if again is not None:
        return again
    known = _known(tx, entity, request)
    if known is not None:
        own_run(caller, known.run)
    decided = decide(request, known, now.ears.quiet, hub)
    if isinstance(decided, Problem):
        # A run that is missing is a state of things, as one that exists is: both are 409.
        raise RefusalError(decided, 409)
    run = _run(tx, caller, entity, request, known, decided, now)
    attempt = _attempt(tx, request, run, decided, now)
    _bury(tx, request, run, now)
    if attempt.attended:
        now.ears.hear(attempt.attempt_id)
    return Registered(tx.run_of(run.id), attempt, decided.resumed, decided.left_behind)


def _check(tx: Reader, caller: Caller, request: AttachRequest) -> str:
    names.attempt_id(request.attempt_id)
    names.project(request.project)
    names.run_id(request.run_id)
    if not 0 <= request.restart_count < LAST_NUMBER or not 0 <= request.pid < LAST_NUMBER:
        numbers = f"restart_count {request.restart_count} or pid {request.pid}"
        raise refuse("bad-request", f"The {numbers} is out of range.", "Send what the scheduler says.")
    long = [text for text in (request.launch, request.node, request.original_id) if len(text) > MAX_TEXT]
    if long:
        raise refuse(
            "bad-request", f"The text {long[0][:40]!r}... is too long.", f"Use {MAX_TEXT} characters."
        )
    if request.parent == request.attempt_id:
        raise refuse("bad-request", f"Attempt {request.attempt_id} is its own parent.", "Leave parent out.")
    entity = names.entity(request.entity or caller.user)
    enter_entity(tx, caller, entity, request.project)
    check_not_deleted(tx, caller, request.attempt_id)
    if caller.attempt is not None and not (request.offline and request.attempt_id == caller.attempt):
        cause = f"The token of attempt {caller.attempt} cannot attach another."
        raise refuse("forbidden", cause, "Use an API key: respool login.")
    return entity


def _again(tx: Reader, caller: Caller, request: AttachRequest) -> Registered | None:
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
    return Registered(run, attempt, attempt.parent is not None)


def _known(tx: Reader, entity: str, request: AttachRequest) -> Known | None:
    run = tx.run(entity, request.project, request.run_id)
    parent = tx.attempt(request.parent) if request.offline and request.parent else None
    if parent is not None and run is not None and parent.run != run.id:
        # Its parent was given a run of its own (a fresh id), and the child goes where the parent is.
        home = tx.run_of(parent.run)
        run = home if home.alias_of == request.run_id and home.entity == entity else run
    return Known(run, {row.attempt_id: row for row in tx.attempts(run.id)}) if run else None


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
    number = max((row.number for row in tx.attempts(run.id)), default=0) + 1
    attempt = AttemptRow(
        attempt_id=request.attempt_id,
        run=run.id,
        number=number,
        parent=decided.parent,
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
    )
    tx.add_attempt(attempt)
    if run.head is None:
        tx.put_run(run._replace(head=attempt.attempt_id))
    return attempt


def _bury(tx: Transaction, request: AttachRequest, run: RunRow, now: Now) -> None:
    dead = {str(key) for key in request.dead} - {request.attempt_id}
    for row in tx.attempts(run.id) if dead else ():
        if row.attempt_id in dead and not (row.gone or row.ended):
            tx.put_attempt(row._replace(gone=True, alive=False, ended_at=row.ended_at or now.wall))
