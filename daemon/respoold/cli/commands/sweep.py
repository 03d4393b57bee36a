"""Make a sweep at the hub from a file as W&B writes it; or change or list sweeps.

method: grid, random or bayes, searched with Optuna; parameters, metric,
early_terminate (hyperband), run_cap, program, command. A key that cannot be is
named. `respool agent` works on it, `respool show` shows it.

--pause hands out nothing new until --resume; --stop never again, what runs
ends by itself; --cancel ends that, too.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import quote

from respool.plan import DEFAULT_PROJECT
from respool.sweeping.path import resolve
from respoold.cli import sweep_file, words
from respoold.cli.arguments import add_reading_arguments, natural
from respoold.cli.asking import asking
from respoold.cli.errors import CommandError, Exit
from respoold.cli.places import here
from respoold.cli.screen import Cell, Column, Screen

EXAMPLES = """
examples:
  respool sweep sweep.yaml --project digits
  respool sweep --pause k3x9p2aq
  respool sweep --list
"""

ORDERS = {"pause": "paused", "resume": "running again", "stop": "stopped", "cancel": "cancelled"}
_COLUMNS = (
    Column("SWEEP", middle=True),
    Column("STATE"),
    Column("METHOD"),
    Column("RUNS", right=True),
    Column("MADE", right=True),
    Column("NAME", shrink=True),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="the configuration, in YAML or JSON")
    for order, done in ORDERS.items():
        parser.add_argument(f"--{order}", metavar="SWEEP", help=f"it is {done}")
    parser.add_argument("--list", action="store_true", help="the sweeps that you may see")
    parser.add_argument("--project", metavar="P", help="of its runs; else the file's")
    parser.add_argument("--entity", metavar="E", help="of its runs; else the file's, else you")
    parser.add_argument(
        "--max-requeues",
        metavar="N",
        type=natural,
        default=10,
        help="give a run up that was begun again so often and got no further (%(default)s)",
    )
    add_reading_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Do one of them."""
    orders = [(order, getattr(args, order)) for order in ORDERS if getattr(args, order)]
    if len(orders) + bool(args.file) + args.list != 1:
        raise CommandError(Exit.USAGE, "Name one thing to do.", "A FILE, --list, or an order with a sweep.")
    if args.list:
        return _list(args, screen)
    return _change(args, screen, *orders[0]) if orders else _make(args, screen)


def _make(args: Namespace, screen: Screen) -> int:
    config, environ = sweep_file.read(args.file), here().environ
    entity = args.entity or config.get("entity") or environ.get("RESPOOL_ENTITY") or "-"
    project = args.project or config.get("project") or environ.get("RESPOOL_PROJECT") or DEFAULT_PROJECT
    path = "/".join(["/v1/sweeps", quote(str(entity), safe=""), quote(str(project), safe="")])
    with asking(args.hub, environ) as hub:
        made = hub.ask("POST", path, {"config": config, "max_requeues": args.max_requeues})
    if args.json:
        screen.emit(made)
        return Exit.DONE
    name = "/".join(str(made[key]) for key in ("entity", "project", "sweep_id"))
    most = f", {words.counted(int(made['limit']), 'run')} at most" if made.get("limit") else ""
    screen.say(f"{name}  {made['method']}{most}")
    screen.note(f"Work on it: respool agent {made['sweep_id']}")
    return Exit.DONE


def _change(args: Namespace, screen: Screen, order: str, name: str) -> int:
    with asking(args.hub, here().environ) as hub:
        path = resolve(hub, name)
        hub.ask("PATCH", path.url(), {"order": order})
    if args.json:
        screen.emit({"sweep": "/".join(path), "order": order})
    else:
        screen.say(f"{'/'.join(path)} is {ORDERS[order]}")
    return Exit.DONE


def _list(args: Namespace, screen: Screen) -> int:
    with asking(args.hub, here().environ) as hub:
        found = hub.get("/v1/sweeps", project=args.project).get("sweeps") or []
    if args.json:
        for one in found:
            screen.emit(one)
    elif found:
        now = time.time()
        screen.table(_COLUMNS, [_row(one, now) for one in found])
    else:
        screen.note("There are no sweeps.")
    return Exit.DONE


def _row(one: dict[str, Any], now: float) -> list[Cell]:
    name = str(one.get("name"))
    return [
        Cell(f"{one.get('project')}/{one.get('sweep_id')}"),
        Cell(str(one.get("state"))),
        Cell(str(one.get("method"))),
        Cell(words.count(one.get("runs"))),
        Cell(words.ago(one.get("created_at"), now)),
        Cell("" if name == one.get("sweep_id") else words.clean(name)),
    ]
