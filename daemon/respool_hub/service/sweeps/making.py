"""Sweeps as people make, find, change and read them."""

from __future__ import annotations

import secrets
from typing import Any

from respool_hub.clock import Now
from respool_hub.service import names
from respool_hub.service.access import Caller, enter_entity, entities, sees
from respool_hub.service.plain_json import clean
from respool_hub.service.refusal import refuse
from respool_hub.service.sweeps.config import sweep_of
from respool_hub.service.sweeps.leases import DONE, LEASED, QUEUED, judged, late_values, life, told
from respool_hub.service.sweeps.work import OVER, PAUSED, RUNNING, limit_of
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import AssignmentRow, SweepRow

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_LENGTH = 8
MAX_REQUEUES = 10
MOST = 1000
CHANGES = {"pause": PAUSED, "resume": RUNNING, "stop": "stopped", "cancel": "cancelled"}


def make(
    tx: Transaction, caller: Caller, entity: str, project: str, told: dict[str, Any], now: Now
) -> SweepRow:
    """A new sweep, running. `told`: its `config`, and `max_requeues` of one assignment. Raises RefusalError."""
    entity, project = names.entity(caller.user if entity == "-" else entity), names.project(project)
    enter_entity(tx, caller, entity, project)
    most = told.get("max_requeues", MAX_REQUEUES)
    if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most < 1 << 31:
        raise refuse("bad-request", f"max_requeues is {most!r:.40}.", "Write a whole number from 0 on.")
    config = told.get("config")
    sweep_of(config)
    assert isinstance(config, dict)
    while True:
        sweep_id = "".join(secrets.choice(LETTERS) for _ in range(ID_LENGTH))
        if tx.sweep(entity, project, sweep_id) is None and tx.run(entity, project, sweep_id) is None:
            break
    owned = (0, entity, project, sweep_id, caller.user, config)
    return tx.add_sweep(SweepRow(*owned, RUNNING, secrets.randbits(31), most, now.wall))


def find(reader: Reader, caller: Caller, entity: str, project: str, sweep_id: str) -> SweepRow:
    """A sweep that the caller sees; "-" for the entity is the caller's own. Raises RefusalError "missing"."""
    entity = caller.user if entity == "-" else entity
    sweep = reader.sweep(entity, project, sweep_id)
    if sweep is None or not sees(reader, caller, entity) or caller.project not in {None, project}:
        raise refuse(
            "missing", f"There is no sweep {entity}/{project}/{sweep_id}.", "See respool sweep --list."
        )
    return sweep


def own(reader: Reader, caller: Caller, entity: str, project: str, sweep_id: str) -> SweepRow:
    """One that the caller may change and work for. Raises RefusalError."""
    sweep = find(reader, caller, entity, project, sweep_id)
    if sweep.owner != caller.user and not caller.admin:
        cause = f"Sweep {entity}/{project}/{sweep_id} belongs to {sweep.owner}, not to {caller.user}."
        raise refuse("forbidden", cause, "Use its owner's key: its runs are his.")
    return sweep


def change(tx: Transaction, sweep: SweepRow, order: str) -> SweepRow:
    """Pause, resume, stop (what runs ends by itself) or cancel (it is ended). Raises RefusalError."""
    if order not in CHANGES:
        raise refuse(
            "bad-request", f"The order {order!r:.40} is unknown.", f"Use one of {', '.join(CHANGES)}."
        )
    if sweep.state in {"cancelled", OVER} and order != "cancel":
        cause = f"Sweep {sweep.sweep_id} is {sweep.state}, it cannot {order}."
        raise refuse("conflict", cause, "Make a new one: respool sweep FILE.")
    changed = sweep._replace(state=CHANGES[order])
    tx.put_sweep(changed)
    return changed


def listed(reader: Reader, caller: Caller, project: str | None, sweep_id: str | None) -> list[dict[str, Any]]:
    """Newest first; those that the caller sees."""
    project = project or caller.project
    found = reader.sweeps(entities(reader, caller), project, sweep_id, MOST)
    return [_brief(sweep) | {"runs": reader.assigned(sweep.id)} for sweep in found]


def shown(reader: Reader, sweep: SweepRow, now: Now) -> dict[str, Any]:
    """A sweep with all its runs, as they stand now, and the best of them."""
    parsed = sweep_of(sweep.config)
    rows = [judged(reader, sweep, row, parsed.metric, now) for row in reader.assignments(sweep.id)]
    late = late_values(reader, sweep, rows, parsed.metric)
    rows = [row._replace(value=late.get(row.number, row.value)) for row in rows]
    runs = [_run(reader, sweep, row, now) for row in rows]
    valued = [one for one in runs if one["value"] is not None]
    best = (max if parsed.maximize else min)(valued, key=lambda one: one["value"], default=None)
    counts = {state: sum(row.state == state for row in rows) for state in (LEASED, QUEUED, DONE)}
    counts["ended"] = sum(row.state == LEASED and row.reported is not None for row in rows)
    return _brief(sweep) | {
        "config": clean(sweep.config),
        "metric": parsed.metric,
        "goal": "maximize" if parsed.maximize else "minimize",
        "limit": limit_of(parsed),
        "counts": counts,
        "runs": runs,
        "best": best,
    }


def _brief(sweep: SweepRow) -> dict[str, Any]:
    config = sweep.config
    return {
        "entity": sweep.entity,
        "project": sweep.project,
        "sweep_id": sweep.sweep_id,
        "name": clean(config.get("name")) or sweep.sweep_id,
        "method": config.get("method"),
        "owner": sweep.owner,
        "state": sweep.state,
        "max_requeues": sweep.max_requeues,
        "created_at": sweep.created_at,
    }


def _run(reader: Reader, sweep: SweepRow, row: AssignmentRow, now: Now) -> dict[str, Any]:
    waits = row.state == QUEUED and sweep.state in {RUNNING, PAUSED}
    stands = None if waits or row.state == DONE else life(reader, sweep, row, now)
    undone = QUEUED if waits else "given up" if row.state == QUEUED else told(row)
    return {
        "number": row.number + 1,
        "run_id": row.run_id,
        "parameters": clean(row.parameters),
        "state": row.outcome or (undone if stands is None else stands.value),
        "agent": row.agent,
        "requeues": max(0, row.requeues),
        "value": row.value,
    }
