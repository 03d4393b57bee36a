"""List the checkpoints that a run's history shows, newest first; pin, unpin or drop one.

A pinned checkpoint is never dropped by retention. A dropped one is gone at the
next `respool gc`, or by itself within a day. The only complete one stays.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import checkpoints, words
from respoold.cli.arguments import natural
from respoold.cli.errors import CommandError, Exit
from respoold.cli.runs import add_run_argument, resolve
from respoold.cli.screen import Cell, Column, Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool checkpoints digits/mlp-1
  respool checkpoints mlp-1 --pin 5000
  respool checkpoints mlp-1 --drop 4000 --name ema
"""

_COLUMNS = (
    Column("NAME", middle=True),
    Column("STEP", right=True),
    Column("SIZE", right=True),
    Column("PARTS", right=True, rank=1),
    Column("ATTEMPT", right=True, rank=2),
    Column("SAVED", right=True),
    Column("WHERE"),
    Column("NOTE", shrink=True),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    change = parser.add_mutually_exclusive_group()
    for word, help_text in (
        ("pin", "never drop the one at this step"),
        ("unpin", "leave it to retention again"),
        ("drop", "let it go"),
    ):
        change.add_argument(f"--{word}", metavar="STEP", type=natural, help=help_text)
    parser.add_argument("--name", metavar="NAME", help="only those of this name; `checkpoint` for a change")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print them, or change one. A run without checkpoints is no bad state."""
    for word, change in (
        ("pin", {"pinned": True}),
        ("unpin", {"pinned": False}),
        ("drop", {"dropped": True}),
    ):
        step = getattr(args, word)
        if step is not None:
            return _change(args, screen, step, change)
    with checkpoints.found(args, screen) as those:
        found = [one for one in those.checkpoints if args.name in {None, one["name"]}]
    if args.json:
        for one in found:
            screen.emit(one | {"where": checkpoints.where(one)})
    elif found:
        now = time.time()
        screen.table(_COLUMNS, [_row(one, now) for one in found])
    else:
        screen.note(f"The run {those.run} has no checkpoints.")
    return Exit.DONE


def _change(args: Namespace, screen: Screen, step: int, change: dict[str, Any]) -> int:
    if args.spool is not None:
        raise CommandError(Exit.USAGE, "A folder is only read.", "Leave --spool out to change it at the hub.")
    name = args.name or checkpoints.DEFAULT
    with open_source(args, screen) as hub:
        path = resolve(hub, args.run)
        hub.patch(path.url("checkpoints"), {"name": name, "step": step, **change})
    if args.json:
        screen.emit({"run": str(path), "name": name, "step": step, **change})
    else:
        done = "dropped" if change.get("dropped") else "pinned" if change["pinned"] else "no longer pinned"
        screen.say(f"{path}: {name} at step {words.count(step)} is {done}")
    return Exit.DONE


def _row(one: dict[str, Any], now: float) -> list[Cell]:
    return [
        Cell(str(one.get("name"))),
        Cell(words.count(one.get("step"))),
        Cell(words.size(one.get("size"))),
        Cell(words.count(len(one.get("parts") or ()))),
        Cell(words.count(one.get("number"))),
        Cell(words.ago(one.get("time"), now)),
        Cell(checkpoints.where(one)),
        _note(one),
    ]


def _note(one: dict[str, Any]) -> Cell:
    if not one.get("complete"):
        ranks = f"{len(one.get('ranks') or ())} of {one.get('world')} ranks"
        return Cell(f"incomplete, {ranks}", "yellow")
    return Cell("pinned" if one.get("pinned") else "")
