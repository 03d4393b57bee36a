"""The writers of an attempt, and what they amount to together.

An attempt lives while any of its writers does; those that came by join=True do not count as long as there are
others. Then its primary's recorded end is its end; else a recorded failure of any; else it is gone as soon as one
of them is, and over with 0 when all have ended so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from respool.wire.identity import FIRST_JOINED
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import AttemptRow, SlotRow


def merged(attempt: AttemptRow, slots: Sequence[SlotRow]) -> AttemptRow:
    """The attempt with the facts that its writers' slots amount to."""
    counted = [slot for slot in slots if not slot.joined] or list(slots)
    if not counted:
        return attempt
    living = [slot for slot in counted if not (slot.ended or slot.gone)]
    if living:
        alive = any(slot.alive for slot in living)
        return attempt._replace(alive=alive, ended=False, exit_code=None, explicit=False, gone=False)
    last = _decisive(counted)
    if last.ended:
        ended: dict[str, Any] = {"ended": True, "exit_code": last.exit_code, "explicit": last.explicit}
        return attempt._replace(alive=False, gone=False, **ended)
    return attempt._replace(alive=False, ended=False, exit_code=None, explicit=False, gone=True)


def _decisive(slots: Sequence[SlotRow]) -> SlotRow:
    """Of writers that are all over the one whose end counts."""
    primary = min(slots, key=lambda slot: (slot.writer >= FIRST_JOINED, slot.writer))
    if primary.ended:
        return primary
    failed = [slot for slot in slots if slot.ended and slot.exit_code != 0]
    gone = [slot for slot in slots if not slot.ended]
    return (failed or gone or [primary])[0]


def settle(tx: Transaction, attempt: AttemptRow, slot: SlotRow) -> AttemptRow:
    """Store a changed slot, and the attempt as it then is."""
    tx.put_slot(slot)
    after = merged(attempt, tx.slots(attempt.attempt_id))
    if after != attempt:
        tx.put_attempt(after)
    return after


def slot_of(reader: Reader, attempt: AttemptRow, writer: int) -> SlotRow:
    """The slot of a writer; a new one for a writer that nobody announced."""
    found = next((slot for slot in reader.slots(attempt.attempt_id) if slot.writer == writer), None)
    return found or SlotRow(attempt.attempt_id, writer, "", attempt.node, attempt.pid)


def bury(tx: Transaction, attempt: AttemptRow, node: str, at: float) -> AttemptRow:
    """Its daemon on `node` knows that its processes there have ended."""
    after = attempt
    for slot in tx.slots(attempt.attempt_id):
        if slot.node == node and not (slot.ended or slot.gone):
            after = settle(tx, after, slot._replace(alive=False, gone=True))
    if (after.gone or after.ended) and after.ended_at is None:
        after = after._replace(ended_at=at)
        tx.put_attempt(after)
    return after
