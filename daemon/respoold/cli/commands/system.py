"""Print the load of a run's processes, their machine and its GPUs: the last twenty samples, or all of them.

The daemon takes one every 15 seconds. CPU is in percent of one core for the job, of all cores for the node.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import words
from respoold.cli.arguments import positive
from respoold.cli.errors import Exit
from respoold.cli.runs import add_run_argument, resolve
from respoold.cli.screen import Cell, Column, Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool system digits/mlp-1                   the last 20 samples
  respool system mlp-1 --all --json | jq '.gpus[0].utilization'
"""

SHOWN = 20
_COLUMNS = (
    Column("", right=True),
    Column("WHEN", right=True),
    Column("CPU", right=True),
    Column("MEMORY", right=True),
    Column("NODE CPU", right=True, rank=1),
    Column("NODE MEMORY", right=True, rank=2),
    Column("READ/s", right=True, rank=4),
    Column("WRITE/s", right=True, rank=4),
    Column("NET IN/s", right=True, rank=3),
    Column("OUT/s", right=True, rank=3),
    Column("GPUS", shrink=True),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--last", metavar="N", type=positive, help=f"the last N samples (default: {SHOWN})")
    part.add_argument("--all", action="store_true", help="every sample")
    parser.add_argument("--attempt", metavar="N", type=positive, help="of this attempt only")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print them. A run without samples is no bad state."""
    with open_source(args, screen) as hub:
        url = resolve(hub, args.run).url("beside", "system")
        found = list(hub.lines(url, attempt=args.attempt, last=None if args.all else args.last or SHOWN))
    if args.json:
        for record in found:
            screen.emit(record)
    elif found:
        now = time.time()
        screen.table(_COLUMNS, [_row(record, now) for record in found])
    else:
        screen.note("No samples: they come from a daemon every 15 s, unless RESPOOL_SYSTEM=0.")
    return Exit.DONE


def _row(record: dict[str, Any], now: float) -> list[Cell]:
    sizes = ("disk_read", "disk_write", "net_in", "net_out")
    return [
        Cell(words.count(record.get("_attempt"))),
        Cell(words.ago(record.get("_timestamp"), now)),
        Cell(_percent(record.get("cpu"))),
        Cell(words.size(record.get("rss"))),
        Cell(_percent(record.get("node_cpu"))),
        Cell(words.size(record.get("node_memory"))),
        *(Cell(words.size(record.get(name))) for name in sizes),
        Cell(", ".join(_gpu(gpu) for gpu in record.get("gpus") or [])),
    ]


def _gpu(gpu: dict[str, Any]) -> str:
    used, total = words.size(gpu.get("memory")), words.size(gpu.get("memory_total"))
    return f"{words.count(gpu.get('index'))}: {_percent(gpu.get('utilization'))} {used} of {total}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} %"
