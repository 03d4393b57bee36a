"""Telling the hub of an attempt that was answered without it, or that it has forgotten, and of what became of it."""

from __future__ import annotations

from time import time
from typing import Any

from respoold.core.attempt import Attempt
from respoold.core.hubapi import AttachAnswer, AttachRequest, WriterSlot
from respoold.io.hub import HubDoor


async def register(hub: HubDoor, attempt: Attempt) -> AttachAnswer:
    """Register an attempt with all of its writers here; idempotent by attempt id. Raises what the door raises."""
    file, request = attempt.file, attempt.request
    writers = slots_of(attempt)
    shared = {name: getattr(request, name) for name in AttachRequest._fields if name in request._fields}
    asked = AttachRequest(
        attempt_id=attempt.id,
        offline=True,
        parent=file.parent,
        parent_known=file.parent_known,
        attended=not attempt.adopted or attempt.alive,
        generation=file.generation,
        writers=writers,
        **shared,
    )
    answer = await hub.attach(asked._replace(run_id=attempt.home))
    # One that came while the hub was asked is another registration's.
    attempt.registered = len(writers) == len(slots_of(attempt))
    attempt.number, attempt.entity = answer.number, answer.entity
    attempt.home, attempt.incarnation = answer.run_id, attempt.incarnation or answer.incarnation
    return answer


async def report(hub: HubDoor, attempt: Attempt) -> None:
    """Tell the hub the facts that it has not heard, each once. Raises what the door raises."""
    for one in attempt.unreported():
        await hub.report(attempt.id, one.said._replace(at=time()))
        attempt.note_told(one)


def slots_of(attempt: Attempt) -> list[dict[str, Any]]:
    """The attempt's writers on this node, as the hub wants to know them."""
    papers = (writer.paper for writer in attempt.writers.values() if not writer.daemons)
    return [
        WriterSlot(
            one.writer, one.incarnation, one.node or attempt.request.node, one.pid, one.joined
        )._asdict()
        for one in papers
        if one.incarnation
    ]
