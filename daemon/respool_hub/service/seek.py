"""Which run a request is about, where it does not say: one of its launch to join, or one that it continues."""

from __future__ import annotations

from collections.abc import Callable

from respool.wire.choice import Standing, choose, homes
from respool_hub.clock import Now
from respool_hub.service import joining
from respool_hub.service.access import Caller, own_run
from respool_hub.service.standing import state
from respool_hub.store.ports import Reader
from respool_hub.store.rows import AttemptRow, RunRow
from respoold.core.hubapi import AttachRequest
from respoold.core.states import ALIVE, State


def home(
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


def chosen(tx: Reader, caller: Caller, entity: str, request: AttachRequest, now: Now) -> AttachRequest:
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


def _looker(tx: Reader, entity: str, request: AttachRequest, now: Now) -> Callable[[str], Standing]:
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
