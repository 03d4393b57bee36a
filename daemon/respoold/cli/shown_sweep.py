"""A sweep in the terminal: how far it is, its best run, and every run with what was tried."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from respool.wire.identity import BadNameError, split_run_path
from respoold.cli import words
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Hub
from respoold.cli.screen import STATE_STYLE, Cell, Column, Screen

ID_LENGTH = 8
_COLUMNS = (
    Column("RUN", middle=True),
    Column("STATE"),
    Column("VALUE", right=True),
    Column("REQUEUED", right=True, rank=2),
    Column("AGENT", shrink=True, rank=1),
    Column("PARAMETERS", shrink=True),
)


def named(hub: Hub, text: str) -> dict[str, Any] | None:
    """The sweep of that name, with its runs; None where there is none, or several."""
    try:
        entity, project, sweep_id = split_run_path(text)
        if len(sweep_id) != ID_LENGTH:
            return None
        listed = hub.get("/v1/sweeps", project=project, sweep_id=sweep_id).get("sweeps") or []
    except (BadNameError, CommandError):
        return None
    found = [one for one in listed if entity in {None, one["entity"]}]
    if len(found) != 1:
        return None
    path = (str(found[0][key]) for key in ("entity", "project", "sweep_id"))
    return hub.get("/".join(["/v1/sweeps", *(quote(part, safe="") for part in path)]))


def show(screen: Screen, sweep: dict[str, Any], *, as_json: bool) -> int:
    """Print it."""
    if as_json:
        screen.emit(sweep)
        return Exit.DONE
    name = "/".join(str(sweep.get(key)) for key in ("entity", "project", "sweep_id"))
    screen.say(f"{words.clean(name)}  {sweep.get('state')}", "bold")
    counts, limit = sweep.get("counts") or {}, sweep.get("limit")
    most = f" of {words.count(limit)}" if limit else ""
    screen.say(f"  runs     {words.count(counts.get('done'))}{most} done{_undone(sweep, counts)}")
    goal = f", {sweep.get('goal')} {words.clean(str(sweep['metric']))}" if sweep.get("metric") else ""
    screen.say(f"  search   {sweep.get('method')}{goal}")
    best = sweep.get("best")
    if best:
        screen.say(f"  best     {best['value']:.6g} by {words.clean(str(best['run_id']))}: {_tried(best)}")
    runs = sweep.get("runs") or []
    if runs:
        screen.say()
        screen.table(_COLUMNS, [_row(one) for one in runs])
    return Exit.DONE


def _undone(sweep: dict[str, Any], counts: dict[str, Any]) -> str:
    goes_on = sweep.get("state") in {"running", "paused"}
    ended = int(counts.get("ended") or 0)  # by their agents' words
    named = {
        "at work": int(counts.get("leased") or 0) - ended,
        "ended a moment ago": ended,
        "queued" if goes_on else "given up": counts.get("queued"),
    }
    return "".join(f", {words.count(number)} {name}" for name, number in named.items() if number)


def _row(one: dict[str, Any]) -> list[Cell]:
    state, value = str(one.get("state")), one.get("value")
    return [
        Cell(words.clean(str(one.get("run_id")))),
        Cell(state, STATE_STYLE.get(state, "")),
        Cell("-" if value is None else f"{value:.6g}"),
        Cell(words.count(one["requeues"]) if one.get("requeues") else ""),
        Cell(words.clean(str(one.get("agent")))),
        Cell(_tried(one)),
    ]


def _tried(one: dict[str, Any]) -> str:
    parameters = one.get("parameters") or {}
    return words.clean(", ".join(f"{key}={_brief(value)}" for key, value in parameters.items()))


def _brief(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
