"""Write runs into folders: config, summary, history, what they printed, and their files.

Each goes to DIR/ENTITY/PROJECT/RUN_ID: run.json, config.json, summary.json, history.parquet (history.csv where
pyarrow is not installed), console.jsonl, system.jsonl, packages.jsonl, files/NAME, and export.json, which lists
them. A folder that has its name is whole. Checkpoints stay at the hub: `respool restore RUN --checkpoint`.
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import words
from respoold.cli.errors import CommandError, Exit
from respoold.cli.exported import export, place
from respoold.cli.hub import Hub
from respoold.cli.runs import RunPath, resolve
from respoold.cli.screen import Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool export digits/mlp-1                   into ./ENTITY/digits/mlp-1
  respool export mlp-1 mlp-2 -o /data/runs
  respool export mlp-1 -o /data/runs --force    in place of the one there
  respool export mlp-1 --spool /mnt/carried     no hub is asked
"""


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="RUN_ID, PROJECT/RUN_ID or ENTITY/PROJECT/RUN_ID"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", default=".", help="below this folder (default: here)"
    )
    parser.add_argument("--force", action="store_true", help="replace a run's folder that is there")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Write them, one after another; 1 when bytes of a file are not where we read."""
    bad = False
    with open_source(args, screen) as hub:
        for path, target in _targets(args, hub).items():
            told = export(hub, path, target, time.time(), screen)
            bad = bad or bool(told["missing"])
            _say(screen, args, target, told)
    return Exit.BAD if bad else Exit.DONE


def _targets(args: Namespace, hub: Hub) -> dict[RunPath, str]:
    """Where each run goes. Nothing is written before all are known and free."""
    found = {path: place(args.output, path) for path in (resolve(hub, text) for text in args.runs)}
    there = next((target for target in found.values() if os.path.lexists(target)), None)
    if there is not None and not args.force:
        cause = f"{there} is there already."
        raise CommandError(Exit.USAGE, cause, "Replace it with --force, or write elsewhere with -o DIR.")
    return found


def _say(screen: Screen, args: Namespace, target: str, told: dict[str, Any]) -> None:
    if args.json:
        screen.emit({"path": target, **told})
        return
    files = told["files"]
    parts = [words.counted(told["rows"], "row")]
    if files:
        octets = words.size(sum(one["size"] for one in files))
        parts.append(f"{words.counted(len(files), 'file')} ({octets})")
    screen.say(f"{words.clean(target)}  {', '.join(parts)}")
    if told["missing"]:
        names = ", ".join(words.clean(name) for name in told["missing"])
        screen.note(f"Not in this folder, but at the hub: {names}.")
