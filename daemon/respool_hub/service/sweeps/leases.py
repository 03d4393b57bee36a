"""What became of an assignment: judged from evidence whenever somebody asks, never remembered against it.

A run returns to the queue when its daemon saw it die preempted, when it died without an exit code and its agent
said so, or when nobody speaks for it any more: neither its agent nor its daemon. What is over by its own word is
done. A process that was given up and comes back still counts, until its successor has logged.
"""

from __future__ import annotations

import math
from typing import Any

from respool.wire.frames import NO_STEP
from respool_hub.clock import Now
from respool_hub.service.standing import run_attempt, state
from respool_hub.service.story import tell, total
from respool_hub.service.sweeps.config import sweep_of
from respool_hub.store.ports import Reader
from respool_hub.store.rows import AssignmentRow, RunRow, SweepRow
from respoold.core.states import ALIVE, State

LEASED, QUEUED, DONE = "leased", "queued", "done"
STOPPED, LOST = "stopped", "lost"
LEASE_SECONDS = 120.0
"""Hub uptime after which a lease that nobody renews has run out."""
LATECOMERS = 50
DEAD_SECONDS = LEASE_SECONDS * 3 / 8
"""The same where the process is known to be dead, or has not begun its run yet: an agent that lives had reported it, or
renewed twice, and nothing is done twice that was done.
"""


def ear_of(lease: str) -> str:
    """What the hub's ears know a lease by."""
    return f"lease {lease}"


def run_of(reader: Reader, sweep: SweepRow, row: AssignmentRow) -> RunRow | None:
    """Its run, once a process has begun it."""
    return reader.run(sweep.entity, sweep.project, row.run_id)


def life(reader: Reader, sweep: SweepRow, row: AssignmentRow, now: Now) -> State | None:
    """The state of what was begun under the newest lease, or of the run itself where nobody has a lease; None while
    nothing was begun.
    """
    run = run_of(reader, sweep, row)
    attempts = reader.attempts(run.id) if run is not None else []
    mine = [attempt for attempt in attempts if attempt.number > row.attempts or row.state == QUEUED]
    current = run_attempt(run, mine, now.ears.quiet) if run is not None else None
    return state(current, now.ears.quiet) if current is not None else None


def judged(reader: Reader, sweep: SweepRow, row: AssignmentRow, metric: str, now: Now) -> AssignmentRow:
    """The assignment as it stands now."""
    if row.state == DONE:
        return row
    stands = life(reader, sweep, row, now)
    if stands is None and row.requeues < 0:
        return row
    bound = DEAD_SECONDS if stands in {State.CRASHED, None} else LEASE_SECONDS
    expired = row.state == QUEUED or now.ears.quiet(ear_of(row.lease)) > bound
    outcome = _outcome(row, stands, expired=expired)
    if outcome is None:
        return row
    again = outcome in {State.PREEMPTED, State.CRASHED, LOST} and not row.stopped
    if again and sweep.state != "cancelled" and _fruitless(reader, sweep, row) < sweep.max_requeues:
        return row._replace(state=QUEUED)
    done = row._replace(state=DONE, outcome=STOPPED if row.stopped else outcome)
    return done._replace(value=value_of(reader, sweep, row, metric))


def _fruitless(reader: Reader, sweep: SweepRow, row: AssignmentRow) -> int:
    """How often it was handed out again since a life of it brought the run further: a job that is preempted often and
    goes on each time is not one that always dies.
    """
    run = run_of(reader, sweep, row)
    reached = dict[str, int]()
    for writer in reader.writers(run.id) if run is not None else ():
        reached[writer.attempt_id] = max(reached.get(writer.attempt_id, NO_STEP), writer.last_step)
    last, brought = NO_STEP, 1
    for number, step in enumerate(reached.values(), 1):
        if step > last:
            last, brought = step, number
    lives = row.requeues + 1
    return lives - min(brought, lives)


def _outcome(row: AssignmentRow, stands: State | None, *, expired: bool) -> str | None:
    """How it ended; None while it may go on."""
    match stands:
        case State.FINISHED | State.FAILED | State.PREEMPTED:
            return stands.value
        case State.CRASHED if expired or row.reported is not None:
            # Its agent is about to say how its process ended; without one that is all that will be heard.
            return _said(row.reported, stands.value)
        case State.SILENT | State.SUPERSEDED | None if expired:
            return _said(row.reported, LOST)
        case None if row.reported is not None and row.reported < 0:
            # A signal ended it before its run was heard of: what may still be on its way ended by no word of its own.
            return LOST
    return None


def _said(reported: int | None, otherwise: str) -> str:
    """No end is known by the run's own word: its agent's decides, where its process exited by itself."""
    if reported is None or reported < 0:
        return otherwise
    return State.FINISHED.value if reported == 0 else State.FAILED.value


def told(row: AssignmentRow) -> str:
    """What its agent says of a process that begins its run, or ended before one was heard of."""
    return row.state if row.reported is None else _said(row.reported, State.CRASHED.value)


def held(reader: Reader, sweep: SweepRow, row: AssignmentRow, now: Now) -> bool:
    """Whether the process of a run that was given up is back: nobody else is given it."""
    return life(reader, sweep, row, now) in ALIVE


def value_of(reader: Reader, sweep: SweepRow, row: AssignmentRow, metric: str) -> float | None:
    """The metric's value in the run's summary, if it is a finite number."""
    run = run_of(reader, sweep, row) if metric else None
    if run is None:
        return None
    found = _at(total(reader, tell(reader, run.id, run.head)).summary, metric)
    if isinstance(found, dict):
        best = "max" if sweep_of(sweep.config).maximize else "min"
        found = next((found[way] for way in (best, "mean", "last", "first") if way in found), None)
    number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if number and math.isfinite(found) else None


def late_values(
    reader: Reader, sweep: SweepRow, rows: list[AssignmentRow], metric: str
) -> dict[int, float | None]:
    """By number the values of runs that had none when they ended: their rows may have come later."""
    late = [row for row in rows if row.value is None and row.outcome in {State.FINISHED, STOPPED}]
    return {row.number: value_of(reader, sweep, row, metric) for row in late[-LATECOMERS:]}


def _at(summary: dict[str, Any], metric: str) -> Any:
    """`a.b` names the key itself, or b within a."""
    found: Any = summary
    if metric in summary:
        return summary[metric]
    for part in metric.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
