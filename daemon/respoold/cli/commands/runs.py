"""List the runs at the hub, newest activity first."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import words
from respoold.cli.arguments import positive
from respoold.cli.screen import STATE_STYLE, Cell, Column, Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool runs                    the 50 runs that were active last
  respool runs digits --limit 5   of one project
  respool runs --spool ./respool/spool   of a folder, without any hub
  respool runs --json | jq -r 'select(.state == "crashed") | .run_id'
"""

_COLUMNS = (
    Column("RUN"),
    Column("STATE", shrink=True),
    Column("STEP", right=True),
    Column("ATTEMPTS", right=True, rank=1),
    Column("ACTIVE", right=True),
    Column("NAME", shrink=True, rank=3),
    Column("ENTITY", shrink=True, rank=2),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("project", metavar="PROJECT", nargs="?", help="only the runs of this project")
    parser.add_argument("--entity", metavar="NAME", help="only the runs of this user or team")
    parser.add_argument("--limit", metavar="N", type=positive, default=50, help="at most N runs (50)")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print them. An empty list is no bad state."""
    with open_source(args, screen) as hub:
        answer = hub.get("/v1/runs", entity=args.entity, project=args.project, limit=args.limit)
    runs = answer.get("runs") or []
    if args.json:
        for item in runs:
            screen.emit(item)
        return 0
    if not runs:
        where = f" in the project {args.project!r}" if args.project else ""
        screen.note(f"No runs{where} at {hub.address.url} yet.")
        return 0
    _print(screen, runs)
    if len(runs) >= args.limit:
        screen.note(f"These are the {args.limit} newest; --limit N shows more.")
    return 0


def _print(screen: Screen, runs: list[dict[str, Any]]) -> None:
    now = time.time()
    entities = {run.get("entity") for run in runs}
    names = any(run.get("name") not in {None, "", run.get("run_id")} for run in runs)
    keep = [True] * 5 + [names, len(entities) > 1]
    columns = [column for column, kept in zip(_COLUMNS, keep, strict=True) if kept]
    rows = [[cell for cell, kept in zip(_row(run, now), keep, strict=True) if kept] for run in runs]
    screen.table(columns, rows)


def _row(run: dict[str, Any], now: float) -> list[Cell]:
    state = str(run.get("state"))
    active = run.get("heartbeat_at") or run.get("ended_at") or run.get("created_at")
    return [
        Cell(f"{run['project']}/{run['run_id']}"),
        Cell(words.state(run, now), STATE_STYLE.get(state, "")),
        Cell(words.count(run.get("last_step"))),
        Cell(words.count(run.get("attempts"))),
        Cell(words.ago(active, now)),
        Cell(str(run.get("name") or "")),
        Cell(str(run.get("entity"))),
    ]
