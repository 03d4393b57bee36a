"""Renewing leases, and telling an agent which of its runs are to end early."""

from __future__ import annotations

import json
import math
from typing import Any

from respool_hub.clock import Now
from respool_hub.service.history import Asked, merged
from respool_hub.service.story import tell
from respool_hub.service.sweeps.config import Sweep, sweep_of
from respool_hub.service.sweeps.hyperband import marks_of, stops
from respool_hub.service.sweeps.leases import LEASED, ear_of, run_of
from respool_hub.service.sweeps.looks import Looks
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import AssignmentRow, SweepRow

GO, STOP, GONE = "go", "stop", "lost"

Marks = dict[str, float]


def marks(reader: Reader, sweep: SweepRow, leases: list[str], looks: Looks) -> dict[str, Marks]:
    """Of each lease the marks of its run, where runs are compared; takes as long as those histories are that `looks`
    holds worth reading.
    """
    parsed = sweep_of(sweep.config)
    if parsed.hyperband is None:
        return {}
    rows = (reader.assignment(sweep.id, lease) for lease in leases)
    return {row.lease: _marks(reader, sweep, parsed, row, looks) for row in rows if row is not None}


def renew(
    tx: Transaction, sweep: SweepRow, leases: list[str], found: dict[str, Marks], now: Now
) -> dict[str, str]:
    """Whether each goes on, is to stop, or is not this agent's any more."""
    return {lease: _renew(tx, sweep, lease, found.get(lease), now) for lease in leases}


def _renew(tx: Transaction, sweep: SweepRow, lease: str, found: Marks | None, now: Now) -> str:
    row = tx.assignment(sweep.id, lease)
    if row is None or row.state != LEASED:
        return GONE
    now.ears.hear(ear_of(lease))
    if found and found != row.marks:
        row = _compared(tx, sweep, row._replace(marks=found))
        tx.put_assignment(row)
    if sweep.state == "cancelled" and not row.stopped:
        row = row._replace(stopped=True)
        tx.put_assignment(row)
    return STOP if row.stopped else GO


def _compared(tx: Transaction, sweep: SweepRow, row: AssignmentRow) -> AssignmentRow:
    rule = sweep_of(sweep.config).hyperband
    others = [_by_band(one.marks) for one in tx.assignments(sweep.id) if one.number != row.number]
    worse = rule is not None and stops(_by_band(row.marks), others, rule)
    return row._replace(stopped=row.stopped or worse)


def _by_band(told: Marks) -> dict[int, float]:
    return {int(band): value for band, value in told.items()}


def _marks(reader: Reader, sweep: SweepRow, parsed: Sweep, row: AssignmentRow, looks: Looks) -> Marks:
    run = run_of(reader, sweep, row)
    rule = parsed.hyperband
    if run is None or rule is None or len(row.marks) == len(rule.bands):
        return row.marks
    rows = sum(writer.rows for writer in reader.writers(run.id))
    if not looks.due(row.lease, rows, rule.bands[len(row.marks)]):
        return row.marks
    story = tell(reader, run.id, run.head)
    lines = merged(reader, story, story.chain, Asked(keys=frozenset({parsed.metric})))
    sign = -1.0 if parsed.maximize else 1.0
    values = (_number(json.loads(line).get(parsed.metric)) for line in lines if line)
    known = [sign * value for value in values if value is not None]
    coming = next((band for band in rule.bands if band > len(known)), None)
    if coming is not None:
        looks.looked(row.lease, rows, len(known), coming)
    return {str(band): value for band, value in marks_of(known, rule.bands).items()}


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None
