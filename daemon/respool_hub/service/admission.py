"""Whether a request to attach may be looked at: its texts, its numbers, and who asks."""

from __future__ import annotations

from respool_hub.service import names
from respool_hub.service.access import Caller, check_not_deleted, enter_entity
from respool_hub.service.refusal import refuse
from respool_hub.store.ports import Reader
from respoold.core.hubapi import AttachRequest

LAST_NUMBER = 1 << 31
MAX_TEXT = 1024


def admitted(tx: Reader, caller: Caller, request: AttachRequest) -> str:
    """The entity that the run belongs to. Raises RefusalError."""
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
