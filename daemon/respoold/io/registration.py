"""Telling the hub of an attempt that was answered without it, or that it has forgotten."""

from __future__ import annotations

from respoold.core.attempt import Attempt
from respoold.core.hubapi import AttachAnswer, AttachRequest
from respoold.io.hub import HubDoor


async def register(hub: HubDoor, attempt: Attempt) -> AttachAnswer:
    """Register; idempotent by attempt id. Raises what the door raises."""
    file, request = attempt.file, attempt.request
    shared = {name: getattr(request, name) for name in AttachRequest._fields if name in request._fields}
    asked = AttachRequest(
        attempt_id=attempt.id,
        offline=True,
        parent=file.parent,
        parent_known=file.parent_known,
        attended=not attempt.adopted or attempt.alive,
        **shared,
    )
    answer = await hub.attach(asked)
    attempt.registered, attempt.number, attempt.entity = True, answer.number, answer.entity
    return answer
