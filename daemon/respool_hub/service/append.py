"""Appending a batch: one transaction that keeps it once, folds it, and moves the head at a first row."""

from __future__ import annotations

from typing import Any, NamedTuple

from respool.wire.frames import NO_STEP, Frame, Kind
from respool.wire.view import merge_alerts
from respool_hub.clock import Now
from respool_hub.service.access import Caller, own_attempt
from respool_hub.service.batch import Body, after, extent
from respool_hub.service.fold import Fold, finite
from respool_hub.service.head import claim
from respool_hub.service.lives import grafted
from respool_hub.service.names import MAX_WHY
from respool_hub.service.payload import map_in, map_of
from respool_hub.service.refusal import refuse
from respool_hub.service.slots import settle, slot_of
from respool_hub.service.standing import left
from respool_hub.store.packing import pack
from respool_hub.store.ports import Transaction
from respool_hub.store.rows import AttemptRow, BatchData, RunRow, WriterRow
from respoold.core.hubapi import Appended

MAX_WRITER = 1 << 20
RUN_META = ("name", "notes", "tags", "group", "job_type")


class Outcome(NamedTuple):
    """`gap`: nothing was kept, records before the first are missing here."""

    appended: Appended
    gap: bool


class Where(NamedTuple):
    """The place of a body: whose, and from which seq on it claims to be."""

    attempt_id: str
    writer: int
    first_seq: int


def append(tx: Transaction, caller: Caller, where: Where, body: Body, now: Now) -> Outcome:
    """Keep what is new of `body`. Raises RefusalError; then nothing is kept."""
    attempt, run = own_attempt(tx, caller, where.attempt_id)
    if where.writer > MAX_WRITER:
        raise refuse(
            "bad-request", f"Writer {where.writer} is beyond {MAX_WRITER}.", "Use the process's rank."
        )
    row = tx.writer(where.attempt_id, where.writer) or WriterRow(where.attempt_id, where.writer)
    if where.first_seq > row.next_seq:
        return Outcome(_answer(tx, attempt, run, row.next_seq), gap=True)
    frames, raw = after(body, row.next_seq)
    if frames:
        whole = frames[0] is body.frames[0]
        packed = (body.codec, body.packed) if whole else pack(raw)
        row = _keep(tx, attempt, row, frames, packed)
        attempt, run = _settle(tx, attempt, run, frames, row, now)
    if attempt.attended and attempt.alive:
        now.ears.hear(attempt.attempt_id)
    return Outcome(_answer(tx, attempt, run, row.next_seq), gap=False)


def _answer(tx: Transaction, attempt: AttemptRow, run: RunRow, next_seq: int) -> Appended:
    return Appended(next_seq, tx.incarnation(), superseded(tx, attempt, run))


def superseded(tx: Transaction, attempt: AttemptRow, run: RunRow) -> bool:
    """Whether this attempt is to be told that the head is elsewhere."""
    head = tx.attempt(run.head) if run.head and run.head != attempt.attempt_id else None
    return left(attempt, run, head.number if head else None)


def _keep(
    tx: Transaction, attempt: AttemptRow, row: WriterRow, frames: list[Frame], packed: tuple[str, bytes]
) -> WriterRow:
    root = attempt.parent is None or tx.attempt(attempt.parent) is None
    fold = Fold(row, tx.view(row.attempt_id, row.writer), root=root)
    fold.take(frames)
    span = extent(frames)
    after_it = fold.written(frames[-1].next_seq, finite(frames[0].time))
    tx.put_writer(after_it, fold.dump())
    place = (row.attempt_id, row.writer, frames[0].seq, after_it.next_seq)
    tx.add_batch(BatchData._make((*place, *span, *packed)))
    return after_it


def _settle(
    tx: Transaction, attempt: AttemptRow, run: RunRow, frames: list[Frame], row: WriterRow, now: Now
) -> tuple[AttemptRow, RunRow]:
    """What the batch says of the attempt and of the run."""
    known, meta = attempt, run.meta
    for frame in frames:
        if frame.kind == Kind.STATE:
            attempt = _state(tx, attempt, row.writer, map_in(frame.payload) or {}, frame.time)
        elif frame.kind == Kind.META:
            said = map_in(frame.payload) or {}
            meta = meta | {key: said[key] for key in RUN_META if key in said}
            if "alerts" in said:
                meta = meta | {"alerts": merge_alerts(meta.get("alerts"), said["alerts"])}
            if "artifacts" in said:
                meta = meta | {"artifacts": map_of(meta.get("artifacts")) | map_of(said["artifacts"])}
    if attempt != known:
        tx.put_attempt(attempt)
    run = run._replace(meta=meta, active_at=now.wall)
    if not attempt.claimed and (row.rows or row.cut is not None):
        attempt, run = _claim(tx, attempt, run, row, now)
    tx.put_run(run)
    return attempt, run


def _claim(
    tx: Transaction, attempt: AttemptRow, run: RunRow, row: WriterRow, now: Now
) -> tuple[AttemptRow, RunRow]:
    attempts = {known.attempt_id: known for known in tx.attempts(run.id)}
    first = row.steps[0] if row.steps else row.cut
    step = NO_STEP if first is None else first
    fixed = grafted(tx.orders(run.id))
    of_head = [one.steps[0] for one in tx.writers(run.id) if one.attempt_id == run.head and one.steps]
    began = min(of_head, default=NO_STEP)
    decided = claim(attempts, run.head, attempt.attempt_id, step, now.ears.quiet, fixed, began)
    for changed in decided.changed:
        tx.put_attempt(changed)
        if changed.attempt_id == attempt.attempt_id:
            attempt = changed
    return attempt, run._replace(head=decided.head)


def _state(tx: Transaction, attempt: AttemptRow, writer: int, value: dict[str, Any], at: float) -> AttemptRow:
    if value.get("state") == "preempting":
        source = value.get("source")
        if not isinstance(source, str) or not source:
            return attempt._replace(marked=True)
        known = (attempt.source, attempt.deadline) if attempt.noticed else (source[:MAX_WHY], 0.0)
        return attempt._replace(noticed=True, source=known[0], deadline=known[1])
    if value.get("state") != "ended":
        return attempt
    code = value.get("exit_code")
    code = code if isinstance(code, int) and abs(code) < 1 << 31 else None
    slot, explicit = slot_of(tx, attempt, writer), value.get("reason") == "finish"
    after = settle(tx, attempt, slot._replace(alive=False, ended=True, exit_code=code, explicit=explicit))
    return after._replace(ended_at=finite(at)) if after.ended else after
