"""Delete a run at the hub, for good: its rows, summary, files and checkpoints, in all of its attempts.

Only its owner or an admin may. Bytes of files that another run names too are kept for that one; the rest of them is
removed from the hub's disk within a day. The id may be used again. What nodes still hold of the run stays there
until `respool spool purge`.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments
from respoold.cli.errors import CommandError, Exit
from respoold.cli.hub import Hub, open_hub
from respoold.cli.places import here
from respoold.cli.runs import RunPath, add_run_argument, resolve
from respoold.cli.screen import Screen

EXAMPLES = """
examples:
  respool delete digits/mlp-1
  respool delete lab/digits/mlp-1 --yes      ask nothing
"""

_ALIVE = frozenset({"running", "preempting", "silent"})


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_reading_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Say what would go, ask, delete."""
    with open_hub(args.hub, here()) as hub:
        path = resolve(hub, args.run)
        if not args.yes and not _confirmed(screen, hub, path):
            screen.say("Nothing was deleted.")
            return Exit.BAD
        gone = hub.delete(path.url())
    if args.json:
        screen.emit(gone)
    else:
        screen.say(f"Deleted {_name(gone)}: {_amount(gone)}.")
    return Exit.DONE


def _confirmed(screen: Screen, hub: Hub, path: RunPath) -> bool:
    doomed = hub.get(path.url("deletion"))  # who may not delete it is told so before all else
    if not sys.stdin.isatty():
        cause = f"Deleting {_name(doomed)} needs a yes, and standard input is no terminal."
        raise CommandError(Exit.USAGE, cause, "Add --yes if you mean it.")
    for line in _what(hub.get(path.url()), doomed):
        screen.note(line)
    screen.note(f"This cannot be undone. Delete {words.clean(str(path))}? [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _what(run: dict[str, Any], doomed: dict[str, Any]) -> list[str]:
    lines = [f"{_name(run)} ({run.get('state')}): {_amount(doomed)}."]
    live = [attempt for attempt in run.get("attempts") or [] if attempt.get("state") in _ALIVE]
    for one in live:
        where = f"attempt {one.get('number')}, pid {one.get('pid')} on {words.clean(str(one.get('node')))}"
        lines.append(f"  It is being written: {where}. What it logs from then on stays on that node.")
    return lines


def _amount(gone: dict[str, Any]) -> str:
    parts = [
        words.counted(int(gone.get("attempts") or 0), "attempt"),
        words.counted(int(gone.get("rows") or 0), "row"),
    ]
    for key, noun in (("files", "file"), ("checkpoints", "checkpoint")):
        if gone.get(key):
            parts.append(words.counted(int(gone[key]), noun))
    octets = f" ({words.size(gone['file_bytes'])} in files)" if gone.get("file_bytes") else ""
    return ", ".join(parts) + octets


def _name(run: dict[str, Any]) -> str:
    return words.clean("/".join(str(run.get(key)) for key in ("entity", "project", "run_id")))
