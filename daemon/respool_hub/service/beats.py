"""Signs of life and of death: heartbeats and state reports, each one transaction."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from respool_hub.clock import Now
from respool_hub.service import bulletin
from respool_hub.service.access import Caller, own_attempt
from respool_hub.service.append import superseded
from respool_hub.service.fold import finite
from respool_hub.service.names import MAX_WHY
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.service.slots import settle, slot_of
from respool_hub.store.ports import Transaction
from respool_hub.store.rows import AttemptRow, BacklogRow, NodeRow, SlotRow
from respoold.core.hubapi import Beat, BeatAnswer, StateReport

MAX_ATTEMPTS = 4096
EVENTS = ("preempting", "ended", "gone", "notice", "withdrawn")
MAX_COUNT = 1 << 62
LAST_CODE = 1 << 31
BACKLOG_COUNTS = ("pending_records", "pending_bytes", "pending_files", "pending_file_bytes")


def beat(
    tx: Transaction, caller: Caller, request: Beat, now: Now, vouched: Collection[str] = ()
) -> BeatAnswer:
    """Take one node's heartbeat. Attempts that are neither the caller's nor `vouched` for by tokens of their own
    are as unknown as those not here.
    """
    if len(request.attempts) > MAX_ATTEMPTS:
        count = len(request.attempts)
        raise refuse("bad-request", f"A heartbeat names {count} attempts.", f"Send at most {MAX_ATTEMPTS}.")
    tx.put_node(NodeRow(request.node[:MAX_WHY], caller.user, request.daemon[:MAX_WHY], now.wall))
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
        over = attempt.ended or attempt.gone
        attempt = _beaten(tx, attempt, request.node[:MAX_WHY], told, now)
        if superseded(tx, attempt, run):
            commands[attempt_id] = [{"command": "superseded", "head": run.head}]
        if not (over and _settled(told)):
            tx.put_run(run._replace(active_at=now.wall))
    return BeatAnswer(tx.incarnation(), commands, unknown, *bulletin.post(tx, caller, request, now))


def _beaten(tx: Transaction, attempt: AttemptRow, node: str, sent: Any, now: Now) -> AttemptRow:
    told = sent if isinstance(sent, dict) else {}
    over = attempt.ended or attempt.gone
    for slot in tx.slots(attempt.attempt_id):
        alive = _alive(told, slot)
        # Who beats is not gone, whatever was believed.
        if slot.node == node and (slot.alive, slot.gone) != (alive, slot.gone and not alive):
            attempt = settle(tx, attempt, slot._replace(alive=alive, gone=slot.gone and not alive))
    lives = told.get("alive") is not False
    tx.put_backlog(_backlog(attempt, node, told, now))
    _clear_if_whole(tx, attempt, told)
    held = tx.backlogs(attempt.attempt_id)
    after = attempt._replace(
        heartbeat_at=attempt.heartbeat_at if over and _settled(told) else now.wall,
        attended=attempt.attended or lives,
        pending_records=sum(one.pending_records for one in held),
        pending_bytes=sum(one.pending_bytes for one in held),
    )
    tx.put_attempt(after)
    if lives and after.noticed and now.ears.outlived(attempt.attempt_id):
        after = _unnoticed(after)
        tx.put_attempt(after)
    if lives:
        now.ears.hear(attempt.attempt_id)
    return after


def _settled(told: Any) -> bool:
    """Whether a report is no sign of life: that nothing of an attempt is left there."""
    return isinstance(told, dict) and told.get("alive") is False and isinstance(told.get("whole"), list)


def _clear_if_whole(tx: Transaction, attempt: AttemptRow, told: dict[str, Any]) -> None:
    """Who read every writer to its end knows that nobody holds more: who read the same folder, on another node or
    before it was killed, need not come back to say so.
    """
    whole = told.get("whole")
    slots = {slot.writer for slot in tx.slots(attempt.attempt_id)}
    if isinstance(whole, list) and slots and slots <= {one for one in whole if isinstance(one, int)}:
        for held in tx.backlogs(attempt.attempt_id):
            nothing: dict[str, Any] = dict.fromkeys(BACKLOG_COUNTS, 0)
            tx.put_backlog(held._replace(**nothing, oldest=None, why=""))


def _alive(told: dict[str, Any], slot: SlotRow) -> bool:
    """Whether a writer lives, as its node's daemon says: each by its slot, or all of them together."""
    writers = told.get("writers")
    said = writers.get(str(slot.writer), writers.get(slot.writer)) if isinstance(writers, dict) else None
    return (told.get("alive") if said is None else said) is not False and not slot.ended


def _backlog(attempt: AttemptRow, node: str, told: dict[str, Any], now: Now) -> BacklogRow:
    oldest, why = told.get("oldest"), told.get("why")
    return BacklogRow(
        attempt_id=attempt.attempt_id,
        node=node,
        heartbeat_at=now.wall,
        pending_records=_count(told.get("pending_records")),
        pending_bytes=_count(told.get("pending_bytes")),
        pending_files=_count(told.get("pending_files")),
        pending_file_bytes=_count(told.get("pending_file_bytes")),
        oldest=finite(oldest) if isinstance(oldest, (int, float)) else None,
        why=why[:MAX_WHY] if isinstance(why, str) else "",
    )


def report(tx: Transaction, caller: Caller, attempt_id: str, said: StateReport, now: Now) -> None:
    """Take a fact about a writer of an attempt. Twice is as once."""
    if said.event not in EVENTS:
        advice = f"Use one of {', '.join(EVENTS)}."
        raise refuse("bad-request", f"Event {said.event[:80]!r} is unknown.", advice)
    attempt, run = own_attempt(tx, caller, attempt_id)
    after = _reported(tx, attempt, said, now)
    if after != attempt:
        tx.put_attempt(after)
    tx.put_run(run._replace(active_at=now.wall))
    if said.event in {"preempting", "notice"}:
        now.ears.hear(attempt_id)


def _reported(tx: Transaction, attempt: AttemptRow, said: StateReport, now: Now) -> AttemptRow:
    match said.event:
        case "preempting":
            return attempt._replace(marked=True)
        case "notice":
            return _noticed(attempt, said, now)
        case "withdrawn":
            mine = said.source in {"", attempt.source}
            return _unnoticed(attempt) if mine else attempt
    slot = slot_of(tx, attempt, said.writer)
    if said.event == "gone":
        slot = slot._replace(alive=False, gone=not slot.ended)
    else:
        code = said.exit_code if said.exit_code is not None and abs(said.exit_code) < LAST_CODE else None
        slot = slot._replace(alive=False, ended=True, exit_code=code, explicit=said.explicit or slot.explicit)
    after = settle(tx, attempt, slot)
    over = (after.ended or after.gone) and after.ended_at is None
    return after._replace(ended_at=finite(said.at) or now.wall) if over else after


def _noticed(attempt: AttemptRow, said: StateReport, now: Now) -> AttemptRow:
    """Both times are the node's, so that its clock need not agree with this one."""
    deadline = finite(said.deadline) or 0.0
    now.ears.notice(attempt.attempt_id, deadline - (finite(said.at) or now.wall))
    return attempt._replace(noticed=True, source=said.source[:MAX_WHY], deadline=deadline)


def _unnoticed(attempt: AttemptRow) -> AttemptRow:
    return attempt._replace(noticed=False, source="", deadline=0.0)


def _count(value: Any) -> int:
    good = isinstance(value, int) and 0 <= value < MAX_COUNT
    return value if good else 0
