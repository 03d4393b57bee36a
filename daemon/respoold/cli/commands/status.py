"""Say what waits on this machine for the hub: for whom, since when, why, and what to do.

Asks the daemon over its socket; needs neither hub nor key. Where none runs, it looks itself into your spools
(exit code 3). With --nodes the hub says what waits on any machine. It is a bad state (exit code 1) when the
daemon warns of something, when rows were lost, when the hub cannot be reached, or when something waits on a
node that is not heard. Rows on their way are no bad state.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import words
from respoold.cli.arguments import add_reading_arguments
from respoold.cli.daemon_link import NoDaemonError, open_daemon
from respoold.cli.errors import CommandError, Exit
from respoold.cli.loose.standing import standing
from respoold.cli.nodes import bad, print_nodes
from respoold.cli.places import Places, here
from respoold.cli.screen import STATE_STYLE, Cell, Column, Screen
from respoold.cli.uploads import print_uploads, snapshots

EXAMPLES = """
examples:
  respool status
  respool status --nodes                  every machine that your runs are on
  respool status --json | jq .pending_records
"""

SHOWN = 20
"""Lines of a table that nobody asked to be long."""

NAMED = 4

_COLUMNS = (
    Column("RUN"),
    Column("STATE"),
    Column("STEP", right=True),
    Column("WAITING", right=True),
    Column("SINCE", right=True),
    Column("PID", right=True, rank=2),
    Column("BYTES", right=True, rank=1),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--nodes", action="store_true", help="ask the hub what waits on every node")
    add_reading_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print it; 1 when something needs a person."""
    if args.nodes:
        return _nodes(args, screen)
    if args.hub:
        raise CommandError(
            Exit.USAGE, f"--hub {args.hub} is for --nodes.", "Say `respool status --nodes` too."
        )
    places = here()
    try:
        with open_daemon(places) as link:
            status = link.status()
    except NoDaemonError as error:
        return _without_daemon(args, screen, places, error)
    if args.json:
        screen.emit(status)
    else:
        print_status(screen, status, time.time())
    return Exit.BAD if _bad(status) else Exit.DONE


def _nodes(args: Namespace, screen: Screen) -> int:
    from respoold.cli.hub import open_hub  # noqa: PLC0415 - the rest of this command needs no extra

    with open_hub(args.hub, here()) as hub:
        found = hub.get("/v1/nodes").get("nodes") or []
    now = time.time()
    if args.json:
        for node in found:
            screen.emit(node)
    elif found:
        print_nodes(screen, found, now)
    else:
        screen.note(f"No daemon has told the hub at {hub.address.url} of itself yet.")
    return Exit.BAD if bad(found, now) else Exit.DONE


def _without_daemon(args: Namespace, screen: Screen, places: Places, error: NoDaemonError) -> int:
    """What was tried, what lies here meanwhile, and how to get a daemon. The exit code is 3."""
    status = standing(places, time.time())
    if args.json:
        screen.emit(status)
    runs = status["runs"]
    tried = "".join(f"\n    {path}: {why}" for path, why in error.tried)
    advice = "Start one with `respool up`, or `respool daemon --hub URL`; runs keep everything meanwhile."
    named = places.environ.get("RESPOOL_SOCKET")
    cause = f"No daemon answers {'where RESPOOL_SOCKET says' if named else 'on this machine'}.{tried}"
    if named:
        advice = (
            f"Start one with `respool daemon --socket {named}`, or unset RESPOOL_SOCKET to look elsewhere."
        )
    if runs and not args.json:
        screen.say(f"In your spools on {words.clean(str(status['node']))}", "bold")
        screen.say(f"  waiting  {_waiting(status)}")
        screen.say()
        screen.table(_COLUMNS, [_row(run) for run in runs[:SHOWN]])
        if len(runs) > SHOWN:
            screen.say(f"and {words.counted(len(runs) - SHOWN, 'older one')}; --json has all", "dim")
        _explain(screen, runs)
        screen.say()
    elif not runs:
        advice += "\n  Nothing waits in your spools here."
    raise CommandError(Exit.UNREACHABLE, cause, advice) from error


def _bad(status: dict[str, Any]) -> bool:
    lost = any(run.get("lost") for run in status.get("runs") or [])
    away = bool(status.get("hub")) and not status.get("hub_reachable")
    return bool(status.get("warnings")) or lost or away


def print_status(screen: Screen, status: dict[str, Any], now: float) -> None:
    """The whole page."""
    screen.say(f"respoold {status.get('daemon')} on {words.clean(str(status.get('node')))}", "bold")
    screen.say(f"  hub      {_hub(screen, status, now)}")
    screen.say(f"  spool    {words.clean(str(status.get('spool')))}{_quota(status.get('quota') or {})}")
    screen.say(f"  waiting  {_waiting(status)}")
    runs = status.get("runs") or []
    if how := snapshots(runs):
        screen.say(f"  copies   {how}")
    if runs:
        screen.say()
        screen.table(_COLUMNS, [_row(run) for run in runs])
        _explain(screen, runs)
        print_uploads(screen, runs, now, SHOWN)
    for warning in status.get("warnings") or []:
        screen.say()
        screen.say(f"! {words.clean(str(warning))}", "yellow")


def _hub(screen: Screen, status: dict[str, Any], now: float) -> str:
    url = words.clean(str(status.get("hub") or "none is configured; everything is kept here"))
    if not status.get("hub"):
        return screen.paint(url, "yellow")
    since = status.get("hub_since")
    lasting = f" for {words.duration(now - since)}" if since else ""
    if status.get("hub_reachable"):
        return f"{url}, {screen.paint('reachable', 'green')}{lasting}"
    why = f": {words.clean(str(status['hub_error']))}" if status.get("hub_error") else ""
    return f"{url}, {screen.paint('away', 'red')}{lasting}{why}"


def _quota(quota: dict[str, Any]) -> str:
    used, cap = quota.get("rows_used"), quota.get("rows_cap")
    if used is None or not cap:
        return ""
    files = f", files {words.size(quota.get('blobs_used'))} of {words.size(quota.get('blobs_cap'))}"
    return f" (rows {words.size(used)} of {words.size(cap)}{files if quota.get('blobs_cap') else ''})"


def _waiting(status: dict[str, Any]) -> str:
    parts = what_waits(status)
    if not parts:
        return "nothing, everything is at the hub"
    oldest = status.get("oldest_pending_seconds")
    return ", ".join(parts) + (f", the oldest for {words.duration(oldest)}" if oldest else "")


def what_waits(status: dict[str, Any]) -> list[str]:
    """`1 240 records (48 KiB)`, `2 files (12 MiB)`: what is still here, of a daemon or of one run."""
    parts = []
    for kind, noun in (("records", "record"), ("files", "file")):
        number = int(status.get(f"pending_{kind}") or 0)
        octets = status.get("pending_bytes" if kind == "records" else "pending_file_bytes")
        if number:
            parts.append(words.counted(number, noun) + (f" ({words.size(octets)})" if octets else ""))
    return parts


def _row(run: dict[str, Any]) -> list[Cell]:
    state = str(run.get("state"))
    oldest = run.get("oldest_pending_seconds")
    files = int(run.get("pending_files") or 0)
    waiting = words.count(run.get("pending_records") or 0) + (
        f" + {words.counted(files, 'file')}" if files else ""
    )
    octets = int(run.get("pending_bytes") or 0) + int(run.get("pending_file_bytes") or 0)
    return [
        Cell(f"{run.get('project')}/{run.get('run_id')}"),
        Cell(state, STATE_STYLE.get(state, "")),
        Cell(words.count(run.get("last_step"))),
        Cell(waiting if run.get("pending_records") or files else "-"),
        Cell(words.duration(oldest) if oldest else "-"),
        Cell(str(run.get("pid") or "-") if run.get("alive") else "-"),
        Cell(words.size(octets) if octets else "-"),
    ]


def _some(names: list[str]) -> str:
    """The names once each, the first few of many."""
    once = list(dict.fromkeys(names))
    more = f" and {words.count(len(once) - NAMED)} more" if len(once) > NAMED else ""
    return ", ".join(once[:NAMED]) + more


def _explain(screen: Screen, runs: list[dict[str, Any]]) -> None:
    """Each cause once, with the runs it holds up."""
    causes: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        name = words.clean(f"{run.get('project')}/{run.get('run_id')}")
        if run.get("lost"):
            lost = f"{words.counted(int(run['lost']), 'row')} lost"
            causes.setdefault((lost, ""), []).append(name)
        if run.get("why"):
            key = (words.clean(str(run["why"])), words.clean(str(run.get("advice") or "")))
            causes.setdefault(key, []).append(name)
    for (why, advice), names in causes.items():
        screen.say()
        screen.say(f"{_some(names)}: {why}")
        if advice:
            screen.say(f"  {advice}")
