"""Checkpoints and large files on their way: bytes, rate, time left, and the deadline that they are up against."""

from __future__ import annotations

from typing import Any

from respoold.cli import words
from respoold.cli.screen import Cell, Column, Screen

_COLUMNS = (
    Column("RUN", middle=True),
    Column("UPLOAD", shrink=True),
    Column("SENT", right=True),
    Column("", right=True, rank=2),
    Column("RATE", right=True, rank=1),
    Column("LEFT", right=True),
    Column("DEADLINE"),
)


def print_uploads(screen: Screen, runs: list[dict[str, Any]], now: float, most: int | None = None) -> None:
    """A table of them, in the order in which they go; nothing where there are none."""
    rows = [_row(run, one, now) for run in runs for one in run.get("uploads") or ()]
    if rows:
        screen.say()
        screen.table(_COLUMNS, rows[:most])
    if most is not None and len(rows) > most:
        screen.say(f"and {len(rows) - most} more", "dim")


def snapshots(runs: list[dict[str, Any]]) -> str:
    """How saved files were copied: `3 by reflink, 1 by copy`; empty where none was saved."""
    total: dict[str, int] = {}
    for run in runs:
        for how, number in (run.get("snapshots") or {}).items():
            total[str(how)] = total.get(str(how), 0) + int(number)
    return ", ".join(f"{words.count(number)} by {words.clean(how)}" for how, number in sorted(total.items()))


def _row(run: dict[str, Any], one: dict[str, Any], now: float) -> list[Cell]:
    size, sent = int(one.get("size") or 0), int(one.get("sent") or 0)
    rate, left = one.get("rate"), one.get("seconds_left")
    waits = str(one.get("state") or "waiting")
    return [
        Cell(f"{run.get('project')}/{run.get('run_id')}"),
        Cell(_what(one)),
        Cell(f"{words.size(sent)} of {words.size(size)}"),
        Cell(f"{sent / size:.0%}" if size else ""),
        Cell(f"{words.size(rate)}/s" if rate else waits),
        Cell(words.duration(left) if left is not None else "-"),
        _deadline(one, now),
    ]


def _what(one: dict[str, Any]) -> str:
    step = f" at step {words.count(one['step'])}" if one.get("step") is not None else ""
    rank = f", rank {one['rank']}" if one.get("rank") is not None else ""
    return f"{one.get('name')}{step}{rank}"


def _deadline(one: dict[str, Any], now: float) -> Cell:
    """`spot in 25 s`, red where it will be missed."""
    source, at = one.get("deadline_source"), one.get("deadline")
    if not source:
        return Cell("-")
    when = "" if not at else f" in {words.duration(at - now)}" if at > now else " has passed"
    missed = one.get("in_time") is False
    return Cell(f"{source}{when}{', too late' if missed else ''}", "red" if missed else "yellow")
