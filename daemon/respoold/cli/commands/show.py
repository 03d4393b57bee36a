"""Show one run: its state, its attempts, config and summary.

It is a bad state (exit code 1) when the run failed or crashed, or when rows of it were lost.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import shown_sweep, words
from respoold.cli.errors import CommandError, Exit
from respoold.cli.media_words import brief
from respoold.cli.runs import add_run_argument, resolve
from respoold.cli.screen import STATE_STYLE, Cell, Column, Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool show digits/mlp-1
  respool show k3x9p2aq                         a sweep: how far, its best run
  respool show mlp-1 --spool /scratch/job-17/respool/spool
  respool show mlp-1 --json | jq .summary.loss
"""

_ATTEMPTS = (
    Column("", right=True),
    Column("STATE", shrink=True),
    Column("STEPS", right=True),
    Column("ROWS", right=True),
    Column("STARTED", right=True),
    Column("FOR", right=True),
    Column("CONTINUES"),
    Column("NODE", shrink=True, rank=2),
    Column("PID", right=True, rank=1),
    Column("NOTE", shrink=True),
)

_LEVELS = {"ERROR": "red", "WARN": "yellow"}
_ALERTS_SHOWN = 10


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print the run; 1 if it is in a bad state."""
    with open_source(args, screen) as hub:
        try:
            found = hub.get(resolve(hub, args.run).url())
        except CommandError:
            sweep = None if args.spool is not None else shown_sweep.named(hub, args.run)
            if sweep is None:
                raise
            return shown_sweep.show(screen, sweep, as_json=args.json)
    if args.json:
        screen.emit(found)
    else:
        _print(screen, found, time.time())
    return Exit.BAD if found.get("state") in {"failed", "crashed"} or found.get("lost") else Exit.DONE


def _print(screen: Screen, run: dict[str, Any], now: float) -> None:
    state = str(run.get("state"))
    title = words.clean(f"{run['entity']}/{run['project']}/{run['run_id']}")
    screen.say(
        f"{screen.paint(title, 'bold')}  {screen.paint(words.state(run, now), STATE_STYLE.get(state, ''))}"
    )
    for label, text in _facts(run, now):
        screen.say(f"  {label:<9}{words.clean(text)}")
    attempts = run.get("attempts") or []
    screen.say()
    screen.say("Attempts", "bold")
    print_attempts(screen, attempts, now)
    _alerts(screen, run.get("alerts") or [], now)
    for label in ("config", "summary"):
        _map(screen, label, run.get(label) or {})


def _facts(run: dict[str, Any], now: float) -> list[tuple[str, str]]:
    steps = "no rows yet"
    if run.get("rows"):
        steps = f"{words.counted(int(run['rows']), 'row')}, last step {words.count(run.get('last_step'))}"
    facts = [("rows", steps), ("created", words.ago(run.get("created_at"), now))]
    if run.get("ended_at"):
        facts.append(("ended", words.ago(run["ended_at"], now)))
    elif run.get("heartbeat_at"):
        facts.append(("heard", words.ago(run["heartbeat_at"], now)))
    for label, key in (
        ("name", "name"),
        ("spelt", "original_id"),
        ("node", "node"),
        ("url", "url"),
        ("notes", "notes"),
    ):
        if run.get(key) and run[key] != run["run_id"]:
            facts.append((label, str(run[key])))
    storage = run.get("storage")
    if storage:
        held = f"{words.size(storage['held'])} of {words.size(storage['quota'])}"
        facts.append(("storage", f"project {run['project']} holds {held} that it may"))
    hidden = sum(int(attempt.get("hidden") or 0) for attempt in run.get("attempts") or [])
    path = f"{run['project']}/{run['run_id']}"
    if run.get("diverged"):
        told = f"some attempts did not know of each other; `respool lineage {path}` shows and mends that"
        facts.append(("diverged", told))
    if hidden:
        undo = f"`respool lineage {path} --cut ATTEMPT none` shows what an attempt hides"
        facts.append(("hidden", f"{words.counted(hidden, 'row')} that a later attempt logged again; {undo}"))
    facts += _started_with(run.get("attempts") or [])
    meta = run.get("meta") or {}
    facts += [
        (label, str(meta[key]))
        for label, key in (("group", "group"), ("job type", "job_type"))
        if meta.get(key)
    ]
    if run.get("tags"):
        facts.append(("tags", ", ".join(map(str, run["tags"]))))
    return facts


def _started_with(attempts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Command, commit and machine of the last attempt that said."""
    about: dict[str, Any] = next((one["about"] for one in reversed(attempts) if one.get("about")), {})
    facts = []
    if about.get("argv"):
        facts.append(("command", " ".join(map(str, about["argv"]))))
    git = about.get("git") or {}
    if git.get("commit"):
        branch = f" on {git['branch']}" if git.get("branch") else ""
        dirty = ", with changes that are not committed" if git.get("dirty") else ""
        facts.append(("git", f"{str(git['commit'])[:12]}{branch}{dirty}"))
    if about.get("python"):
        facts.append(("python", f"{about['python']} on {about.get('os')}, {about.get('cpus')} CPUs"))
    return facts


def print_attempts(screen: Screen, attempts: list[dict[str, Any]], now: float) -> None:
    """The table of a run's attempts, oldest first."""
    numbers = {attempt.get("attempt_id"): attempt.get("number") for attempt in attempts}
    rows = [_attempt(attempt, numbers, now) for attempt in attempts]
    used = [at < len(_ATTEMPTS) - 1 or any(row[at].text for row in rows) for at in range(len(_ATTEMPTS))]
    columns = [column for column, kept in zip(_ATTEMPTS, used, strict=True) if kept]
    screen.table(columns, [[cell for cell, kept in zip(row, used, strict=True) if kept] for row in rows])


def _attempt(attempt: dict[str, Any], numbers: dict[Any, Any], now: float) -> list[Cell]:
    state = str(attempt.get("state"))
    began, ended = attempt.get("started_at"), attempt.get("ended_at") or attempt.get("heartbeat_at")
    return [
        Cell(words.count(attempt.get("number"))),
        Cell(_state(attempt), STATE_STYLE.get(state, "")),
        Cell(_steps(attempt)),
        Cell(words.count(attempt.get("rows"))),
        Cell(words.ago(began, now)),
        Cell(words.duration(ended - began) if began and ended else "-"),
        Cell(_continues(attempt, numbers)),
        Cell(str(attempt.get("node") or "-")),
        Cell(str(attempt.get("pid") or "-")),
        Cell(_note(attempt)),
    ]


def _state(attempt: dict[str, Any]) -> str:
    state, code = str(attempt.get("state")), attempt.get("exit_code")
    return f"{state}, exit {code}" if code else state


def _steps(attempt: dict[str, Any]) -> str:
    first, last = attempt.get("first_step"), attempt.get("last_step")
    return "-" if first is None or last is None else f"{words.count(first)} - {words.count(last)}"


def _continues(attempt: dict[str, Any], numbers: dict[Any, Any]) -> str:
    """`1 from step 300`: the parent, and the step from which its rows are replaced."""
    if not attempt.get("parent"):
        return "-"
    parent = numbers.get(attempt["parent"])
    name, cut = words.count(parent) if parent is not None else "unknown", attempt.get("cut")
    return name if cut is None else f"{name} from step {words.count(cut)}"


def _note(attempt: dict[str, Any]) -> str:
    notes = []
    if attempt.get("on_lineage") is False:
        notes.append("a branch")
    if attempt.get("hidden"):
        notes.append(f"{words.count(attempt['hidden'])} hidden")
    if attempt.get("lost"):
        notes.append(f"{words.counted(int(attempt['lost']), 'row')} lost")
    if attempt.get("pending_records"):
        notes.append(f"{words.count(attempt['pending_records'])} waiting")
    return ", ".join(notes)


def _alerts(screen: Screen, alerts: list[dict[str, Any]], now: float) -> None:
    """The last alerts that the script raised, newest first."""
    if not alerts:
        return
    screen.say()
    screen.say("Alerts", "bold")
    rows = [
        [
            Cell(words.clean(str(one.get("level"))), _LEVELS.get(str(one.get("level")), "")),
            Cell(words.ago(one.get("time"), now)),
            Cell(words.clean(f"{one.get('title')}: {one.get('text')}")),
        ]
        for one in alerts[: -_ALERTS_SHOWN - 1 : -1]
    ]
    screen.table((Column("LEVEL"), Column("RAISED", right=True), Column("WHAT", shrink=True)), rows)


def _map(screen: Screen, label: str, items: dict[str, Any]) -> None:
    if not items:
        return
    screen.say()
    screen.say(label.capitalize(), "bold")
    pairs = [(words.clean(key), brief(item)) for key, item in sorted(items.items())]
    screen.table((Column("KEY", shrink=True), Column("VALUE", shrink=True)), pairs)
