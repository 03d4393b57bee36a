"""The page of `respool status --nodes`: what waits on which machine, for whom, since when, why, and what to do."""

from __future__ import annotations

from typing import Any

from respool.wire.limits import SILENCE_BOUND, SILENT_AFTER
from respoold.cli import words
from respoold.cli.screen import STATE_STYLE, Cell, Column, Screen

_NODES = (
    Column("NODE", shrink=True),
    Column("HEARD", right=True),
    Column("RECORDS", right=True),
    Column("FILES", right=True),
    Column("BYTES", right=True, rank=1),
    Column("OLDEST", right=True),
    Column("RUNS", right=True, rank=2),
    Column("DAEMON", rank=3),
)
_RUNS = (
    Column("RUN"),
    Column("", right=True),
    Column("STATE"),
    Column("NODE", shrink=True),
    Column("RECORDS", right=True),
    Column("FILES", right=True),
    Column("OLDEST", right=True),
    Column("BYTES", right=True, rank=1),
)
_COUNTS = ("pending_records", "pending_files")


def silent(node: dict[str, Any], now: float) -> bool:
    """Whether its daemon should have been heard since."""
    return now - float(node.get("heartbeat_at") or 0.0) > SILENT_AFTER


def waits(item: dict[str, Any]) -> bool:
    """Whether a node, or a run on it, holds something that the hub has not."""
    return any(item.get(count) for count in _COUNTS)


def bad(nodes: list[dict[str, Any]], now: float) -> bool:
    """Whether a person is needed: something waits on a node that says nothing."""
    return any(waits(node) and now - float(node.get("heartbeat_at") or 0.0) > SILENCE_BOUND for node in nodes)


def print_nodes(screen: Screen, nodes: list[dict[str, Any]], now: float) -> None:
    """The nodes, the ones with most to tell first; then their runs; then causes with advice."""
    ordered = sorted(nodes, key=lambda node: (not waits(node), str(node.get("node"))))
    screen.table(_NODES, [_node(node, now) for node in ordered])
    held = [(node, run) for node in ordered for run in node.get("runs") or []]
    if held:
        screen.say()
        screen.table(_RUNS, [_run(node, run) for node, run in held])
    if not any(waits(node) for node in nodes):
        screen.say()
        screen.say("Nothing waits on any node: the hub has everything it was told of.")
    for why, advice, names in _causes(held, now):
        screen.say()
        screen.say(f"{', '.join(names)}: {why}")
        if advice:
            screen.say(f"  {advice}")


def _node(node: dict[str, Any], now: float) -> list[Cell]:
    heard = Cell(words.ago(node.get("heartbeat_at"), now), "yellow" if silent(node, now) else "")
    return [
        Cell(str(node.get("node"))),
        heard,
        *_amounts(node),
        Cell(_bytes(node)),
        Cell(_oldest(node)),
        Cell(words.count(len(node.get("runs") or []))),
        Cell(str(node.get("daemon") or "-")),
    ]


def _run(node: dict[str, Any], run: dict[str, Any]) -> list[Cell]:
    state = str(run.get("state"))
    return [
        Cell(f"{run.get('project')}/{run.get('run_id')}"),
        Cell(f"#{run.get('number')}", "dim"),
        Cell(state, STATE_STYLE.get(state, "")),
        Cell(str(node.get("node"))),
        *_amounts(run),
        Cell(_oldest(run)),
        Cell(_bytes(run)),
    ]


def _amounts(item: dict[str, Any]) -> list[Cell]:
    return [Cell(words.count(item[count]) if item.get(count) else "-") for count in _COUNTS]


def _bytes(item: dict[str, Any]) -> str:
    octets = int(item.get("pending_bytes") or 0) + int(item.get("pending_file_bytes") or 0)
    return words.size(octets) if octets else "-"


def _oldest(item: dict[str, Any]) -> str:
    oldest = item.get("oldest_pending_seconds")
    return words.duration(oldest) if oldest and waits(item) else "-"


def _causes(
    held: list[tuple[dict[str, Any], dict[str, Any]]], now: float
) -> list[tuple[str, str, list[str]]]:
    """Each cause once, with its advice and the runs that it holds up."""
    causes: dict[tuple[str, str], list[str]] = {}
    for node, run in held:
        if waits(run):
            name = words.clean(f"{run.get('project')}/{run.get('run_id')}")
            causes.setdefault(_cause(node, run, now), []).append(name)
    return [(why, advice, list(dict.fromkeys(names))) for (why, advice), names in causes.items()]


def _cause(node: dict[str, Any], run: dict[str, Any], now: float) -> tuple[str, str]:
    name = words.clean(str(node.get("node")))
    if silent(node, now):
        since = words.ago(node.get("heartbeat_at"), now)
        why = f"{name} was last heard {since}: it may hold more by now"
        return why, f"start the daemon on {name} again, or run `respool sync` there; its disk has the data"
    why = words.clean(str(run.get("why") or "on its way"))
    if why in {"being sent", "on its way"}:
        return f"{why} from {name}", ""
    return f"{why} ({name})", f"it is tried again by itself; `respool status` on {name} says more"
