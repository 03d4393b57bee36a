"""Signs of life and of death: heartbeats and state reports, each one transaction."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from respool_hub.clock import Now
from respool_hub.service.access import Caller, own_attempt
from respool_hub.service.append import superseded
from respool_hub.service.fold import finite
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.store.ports import Transaction
from respool_hub.store.rows import AttemptRow
from respoold.core.hubapi import Beat, BeatAnswer, StateReport

MAX_ATTEMPTS = 4096
EVENTS = ("preempting", "ended", "gone")
MAX_COUNT = 1 << 62


def beat(
    tx: Transaction, caller: Caller, request: Beat, now: Now, vouched: Collection[str] = ()
) -> BeatAnswer:
    """Take one node's heartbeat. Attempts that are neither the caller's nor `vouched` for by tokens of their own
    are as unknown as those not here.
    """
    if len(request.attempts) > MAX_ATTEMPTS:
        count = len(request.attempts)
        raise refuse("bad-request", f"A heartbeat names {count} attempts.", f"Send at most {MAX_ATTEMPTS}.")
    commands: dict[str, list[dict[str, Any]]] = {}
    unknown: list[str] = []
    for attempt_id, told in request.attempts.items():
        speaker = caller._replace(attempt=attempt_id) if attempt_id in vouched else caller
        try:
            attempt, run = own_attempt(tx, speaker, str(attempt_id))
        except RefusalError as error:
            if error.problem.code == "deleted":
                commands[attempt_id] = [{"command": "deleted", "why": error.problem.cause}]
            else:
                unknown.append(str(attempt_id))
            continue
        attempt = _beaten(tx, attempt, told, now)
        if superseded(tx, attempt, run):
            commands[attempt_id] = [{"command": "superseded", "head": run.head}]
        tx.put_run(run._replace(active_at=now.wall))
    return BeatAnswer(tx.incarnation(), commands, unknown)


def _beaten(tx: Transaction, attempt: AttemptRow, sent: Any, now: Now) -> AttemptRow:
    told = sent if isinstance(sent, dict) else {}
    alive = told.get("alive") is not False
    after = attempt._replace(
        heartbeat_at=now.wall,
        pending_records=_count(told.get("pending_records")),
        pending_bytes=_count(told.get("pending_bytes")),
        alive=alive,
        attended=attempt.attended or alive,
        # Who beats is not gone, whatever was believed.
        gone=attempt.gone and not alive,
    )
    tx.put_attempt(after)
    if alive:
        now.ears.hear(attempt.attempt_id)
    return after


def report(tx: Transaction, caller: Caller, attempt_id: str, said: StateReport, now: Now) -> None:
    """Take a fact about an attempt. Twice is as once."""
    if said.event not in EVENTS:
        advice = f"Use one of {', '.join(EVENTS)}."
        raise refuse("bad-request", f"Event {said.event[:80]!r} is unknown.", advice)
    attempt, run = own_attempt(tx, caller, attempt_id)
    tx.put_attempt(_reported(attempt, said, now))
    tx.put_run(run._replace(active_at=now.wall))
    if said.event == "preempting":
        now.ears.hear(attempt_id)


def _reported(attempt: AttemptRow, said: StateReport, now: Now) -> AttemptRow:
    at = finite(said.at) or now.wall
    if said.event == "preempting":
        return attempt._replace(marked=True)
    if said.event == "gone":
        return attempt._replace(gone=True, alive=False, ended_at=attempt.ended_at or at)
    code = said.exit_code if said.exit_code is not None and abs(said.exit_code) < MAX_COUNT else None
    return attempt._replace(ended=True, exit_code=code, alive=False, ended_at=attempt.ended_at or at)


def _count(value: Any) -> int:
    good = isinstance(value, int) and 0 <= value < MAX_COUNT
    return value if good else 0
