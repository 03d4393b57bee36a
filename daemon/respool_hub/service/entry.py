"""What a registration writes: the run when it is new, and the attempt in its place among the others."""

from __future__ import annotations

from respool.wire.identity import attempt_id_of
from respool.wire.limits import MAX_RUN_ID
from respool_hub.clock import Now
from respool_hub.service import joining
from respool_hub.service.access import Caller
from respool_hub.service.append import RUN_META
from respool_hub.service.attach import Known, Registration
from respool_hub.service.fold import finite
from respool_hub.service.head import arrive
from respool_hub.service.lives import grafted
from respool_hub.service.standing import ancestors
from respool_hub.service.story import tell
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import AttemptRow, RunRow
from respoold.core.hubapi import AttachRequest


def enter_run(
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


def enter_attempt(
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
        believed=decided.parent,
        base=0 if request.offline else _base(tx, run, others, decided.parent),
    )
    tx.add_attempt(attempt)
    if run.head is None:
        tx.put_run(run._replace(head=attempt.attempt_id))
        return attempt
    return _arrived(tx, run, attempt) if request.offline else attempt


def _base(tx: Transaction, run: RunRow, others: list[AttemptRow], parent: str | None) -> int:
    """By how much the steps of the parent are shifted now, and with them the step that this one is told."""
    shifted = any(row.base or row.parent != row.believed for row in others)
    return tell(tx, run.id, parent).of(parent).shift if parent is not None and shifted else 0


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
