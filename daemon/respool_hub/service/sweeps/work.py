"""Handing out work: what was given up first, until that queue is empty; then the search goes on.

Every function is one transaction. A question that is asked again is answered again: the name of a lease is chosen
by who asks for it.
"""

from __future__ import annotations

from typing import NamedTuple

from respool_hub.clock import Now
from respool_hub.service.sweeps.config import Sweep, sweep_of
from respool_hub.service.sweeps.leases import DONE, LEASED, QUEUED, ear_of, held, judged, late_values, run_of
from respool_hub.service.sweeps.search import Suggestion, Trial, grid_size
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import AssignmentRow, SweepRow

RUNNING, PAUSED, OVER = "running", "paused", "finished"


class Work(NamedTuple):
    """An assignment, now leased to who asked. `again`: it was begun before."""

    row: AssignmentRow
    again: bool


class Wait(NamedTuple):
    """Nothing now; something may come."""

    why: str


class Over(NamedTuple):
    """Nothing more will come."""

    why: str


class Needed(NamedTuple):
    """A new point is to be found, of this number."""

    number: int


Answer = Work | Wait | Over | Needed


def ask(tx: Transaction, sweep: SweepRow, lease: str, agent: str, now: Now) -> Answer:
    """What there is to do for who asks, who names the lease that he will hold."""
    mine = tx.assignment(sweep.id, lease)
    if mine is not None and mine.state == LEASED:
        now.ears.hear(ear_of(lease))
        return Work(mine, again=mine.requeues > 0)
    waiting = settle(tx, sweep, now)
    match sweep.state:
        case "running":
            return _next(tx, sweep, lease, agent, waiting, now)
        case "paused":
            return Wait(f"it is paused: `respool sweep --resume {sweep.sweep_id}` lets it go on")
    return Over(f"it is {sweep.state}")


def hand_out(
    tx: Transaction, sweep: SweepRow, lease: str, agent: str, found: Suggestion, number: int, now: Now
) -> Answer:
    """The point that was found, unless something else is to be done by now."""
    answer = ask(tx, sweep, lease, agent, now)
    if answer != Needed(number):
        return answer
    run_id = f"{sweep.sweep_id}-{number + 1}"
    fresh = AssignmentRow(
        sweep.id, number, run_id, found.point, found.parameters, LEASED, lease, agent, attempts=0, requeues=0
    )
    return _leased(tx, sweep, fresh, now, again=False)


def settle(tx: Transaction, sweep: SweepRow, now: Now) -> list[AssignmentRow]:
    """Judge all that are not done, write down what changed, and give those that wait for somebody."""
    metric = sweep_of(sweep.config).metric
    for row in [*tx.assignments(sweep.id, LEASED), *tx.assignments(sweep.id, QUEUED)]:
        stands = judged(tx, sweep, row, metric, now)
        if stands != row:
            tx.put_assignment(stands)
    return tx.assignments(sweep.id, QUEUED)


def report(tx: Transaction, sweep: SweepRow, lease: str, code: int, now: Now) -> None:
    """How the process of a lease ended, by its agent's word; a lease that is another's by now changes nothing."""
    row = tx.assignment(sweep.id, lease)
    if row is not None and row.state == LEASED:
        now.ears.hear(ear_of(lease))
        tx.put_assignment(row._replace(reported=code))
        settle(tx, sweep, now)


def give_back(tx: Transaction, sweep: SweepRow, lease: str) -> None:
    """Who holds it could not begin it: it goes out again, and counts as if it had never been handed out to him."""
    row = tx.assignment(sweep.id, lease)
    if row is not None and row.state == LEASED:
        tx.put_assignment(row._replace(state=QUEUED, requeues=row.requeues - 1))


def trials(reader: Reader, sweep: SweepRow) -> list[Trial]:
    """What is known of the points so far."""
    metric = sweep_of(sweep.config).metric
    rows = reader.assignments(sweep.id)
    found = late_values(reader, sweep, rows, metric)
    return [Trial(row.point, found.get(row.number, row.value), row.state == DONE) for row in rows]


def _next(
    tx: Transaction, sweep: SweepRow, lease: str, agent: str, waiting: list[AssignmentRow], now: Now
) -> Answer:
    for row in waiting:
        if not held(tx, sweep, row, now):
            taken = row._replace(
                state=LEASED, lease=lease, agent=agent, requeues=row.requeues + 1, reported=None
            )
            return _leased(tx, sweep, taken, now, again=taken.requeues > 0)
    number = tx.assigned(sweep.id)
    parsed = sweep_of(sweep.config)
    most, reached = limit_of(parsed), _reached(tx, sweep, parsed)
    if not reached and (most is None or number < most):
        return Needed(number)
    left = len(tx.assignments(sweep.id, LEASED)) + len(waiting)
    if left:
        why = f"the target {parsed.target} is reached" if reached else f"all {number} points are handed out"
        return Wait(f"{why}; {left} still at work")
    tx.put_sweep(sweep._replace(state=OVER))
    return Over(f"it is finished: {number} runs")


def _reached(reader: Reader, sweep: SweepRow, parsed: Sweep) -> bool:
    """Whether a run that is over has come to the metric's target; then nothing new is begun, as at W&B."""
    if parsed.target is None:
        return False
    sign = -1.0 if parsed.maximize else 1.0
    values = (trial.value for trial in trials(reader, sweep) if trial.over and trial.value is not None)
    return any(sign * value <= sign * parsed.target for value in values)


def limit_of(sweep: Sweep) -> int | None:
    """How many points there are at most; None: no end."""
    size = grid_size(sweep) if sweep.method == "grid" else None
    known = [limit for limit in (size, sweep.run_cap) if limit is not None]
    return min(known, default=None)


def _leased(tx: Transaction, sweep: SweepRow, row: AssignmentRow, now: Now, *, again: bool) -> Work:
    run = run_of(tx, sweep, row)
    before = max((attempt.number for attempt in tx.attempts(run.id)), default=0) if run is not None else 0
    mine = row._replace(attempts=before)
    tx.put_assignment(mine)
    now.ears.hear(ear_of(mine.lease))
    return Work(mine, again)
