"""Print what a run printed: the last hundred lines, or all of them.

Lines come from the first process of each attempt, without what was skipped because it was too much, and
without secrets of known shape.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Any

from respoold.cli import words
from respoold.cli.arguments import positive
from respoold.cli.errors import Exit
from respoold.cli.runs import add_run_argument, resolve
from respoold.cli.screen import Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool console digits/mlp-1                  the last 100 lines
  respool console mlp-1 --all | less
  respool console mlp-1 --attempt 2 --last 20
"""

SHOWN = 100


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--last", metavar="N", type=positive, help=f"the last N lines (default: {SHOWN})")
    part.add_argument("--all", action="store_true", help="every line")
    parser.add_argument("--attempt", metavar="N", type=positive, help="of this attempt only")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print them. A run that printed nothing is no bad state."""
    with open_source(args, screen) as hub:
        url = resolve(hub, args.run).url("beside", "console")
        last = None if args.all else args.last or SHOWN
        found = hub.lines(url, attempt=args.attempt, last=last)
        if args.json:
            for record in found:
                screen.emit(record)
        else:
            _print(screen, found)
    return Exit.DONE


def _print(screen: Screen, found: Iterable[dict[str, Any]]) -> None:
    attempt = None
    for record in found:
        if attempt is not None and record.get("_attempt") != attempt:
            screen.say(f"-- attempt {words.count(record.get('_attempt'))}", "dim")
        attempt = record.get("_attempt")
        if record.get("skipped"):
            screen.say(f"-- {words.counted(int(record['skipped']), 'line')} skipped", "dim")
        if record.get("text"):
            screen.say(words.clean(str(record["text"])))
    if attempt is None:
        screen.note("Nothing was printed, or it is not kept (RESPOOL_CONSOLE=0).")
