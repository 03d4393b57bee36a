"""List the files of a run: the newest visible version of each name, or with --all every version."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import words
from respoold.cli.runs import add_run_argument, resolve
from respoold.cli.screen import Cell, Column, Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool files digits/mlp-1
  respool files mlp-1 --all       every version of every file
  respool files mlp-1 --spool respool/spool
"""

_COLUMNS = (
    Column("NAME", middle=True),
    Column("SIZE", right=True),
    Column("STEP", right=True),
    Column("ATTEMPT", right=True),
    Column("SAVED", right=True),
    Column("BLAKE3", rank=1),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    parser.add_argument("--all", action="store_true", help="every version, superseded ones too")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print them. A run without files is no bad state."""
    with open_source(args, screen) as hub:
        path = resolve(hub, args.run)
        files = hub.get(path.url("files"), all=1 if args.all else None).get("files") or []
    if args.json:
        for item in files:
            screen.emit(item)
    elif files:
        now = time.time()
        columns = _COLUMNS if args.spool is None else (*_COLUMNS[:-1], Column("BYTES", rank=1))
        screen.table(columns, [_row(item, now) for item in files])
    else:
        screen.note(f"The run {path} has no files. Its checkpoints: `respool checkpoints {path.run_id}`.")
    return 0


def _row(item: dict[str, Any], now: float) -> list[Cell]:
    return [
        Cell(str(item.get("name"))),
        Cell(words.size(item.get("size"))),
        Cell(words.count(item.get("step"))),
        Cell(words.count(item.get("number"))),
        Cell(words.ago(item.get("time"), now)),
        Cell(_where(item), "dim"),
    ]


def _where(item: dict[str, Any]) -> str:
    """The digest under which the hub keeps the bytes; of a folder's file whether they are in it."""
    if "here" in item:
        return "in this folder" if item["here"] else "at the hub"
    return str(item.get("digest") or "-")[:12]
