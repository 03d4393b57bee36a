"""Show how the attempts of a run hang together, and mend it.

Every attempt is a line below the one it continues; * marks the history that
the run shows, SHOWN how much of each. An order changes what is shown and
deletes nothing; --undo takes the last one back.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from respoold.cli import words
from respoold.cli.errors import CommandError, Exit
from respoold.cli.runs import add_run_argument, resolve
from respoold.cli.screen import STATE_STYLE, Cell, Column, Screen
from respoold.cli.source import add_source_arguments, open_source

EXAMPLES = """
examples:
  respool lineage digits/mlp-1
  respool lineage mlp-1 --head 3         the history is attempt 3's
  respool lineage mlp-1 --graft 4 2      attempt 4 continues attempt 2
  respool lineage mlp-1 --cut 4 1000     it hides what was before from step 1000
  respool lineage mlp-1 --cut 4 none     it hides nothing
  respool lineage mlp-1 --undo
"""

_COLUMNS = (
    Column("ATTEMPT"),
    Column("STATE", shrink=True),
    Column("STEPS", right=True),
    Column("ROWS", right=True),
    Column("CUT", right=True),
    Column("SHOWN"),
    Column("NODE", shrink=True, rank=1),
)


def configure(parser: ArgumentParser) -> None:
    """Describe the arguments."""
    add_run_argument(parser)
    orders = parser.add_mutually_exclusive_group()
    orders.add_argument("--head", metavar="A", help="the history is attempt A's and its ancestors'")
    orders.add_argument(
        "--graft", nargs=2, metavar=("A", "PARENT"), help="attempt A continues attempt PARENT"
    )
    orders.add_argument(
        "--cut",
        nargs=2,
        metavar=("A", "STEP"),
        help="attempt A hides what is before it from STEP on",
    )
    orders.add_argument("--undo", action="store_true", help="take the last order back")
    add_source_arguments(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print the tree, after carrying out an order if there is one."""
    order = _order(args)
    with open_source(args, screen) as hub:
        path = resolve(hub, args.run)
        found = hub.post(path.url("lineage"), order) if order else hub.get(path.url("lineage"))
    if args.json:
        screen.emit(found)
    else:
        _print(screen, found)
    return Exit.DONE


def _order(args: Namespace) -> dict[str, Any] | None:
    if args.undo:
        return {"order": "undo"}
    if args.head:
        return {"order": "head", "attempt": args.head}
    if args.graft:
        return {"order": "graft", "attempt": args.graft[0], "parent": args.graft[1]}
    if not args.cut:
        return None
    attempt, step = args.cut
    if step != "none" and not step.isdecimal():
        raise CommandError(Exit.USAGE, f"The step {step!r} is no number.", "Use a step from 0 on, or none.")
    return {"order": "cut", "attempt": attempt, "step": None if step == "none" else int(step)}


def _print(screen: Screen, found: dict[str, Any]) -> None:
    name = "/".join(str(found.get(key)) for key in ("entity", "project", "run_id"))
    last = found.get("last_step")
    screen.say(words.clean(name) + ("" if last is None else f", up to step {words.count(last)}"), "bold")
    attempts = found.get("attempts") or []
    screen.table(_COLUMNS, [_line(depth, one) for depth, one in _tree(attempts)])
    for order in found.get("orders") or []:
        screen.say(f"ordered by {words.clean(str(order.get('by')))}: {_told(order, attempts)}", "dim")
    strays = [one for one in attempts if one.get("branch")]
    if strays:
        numbers = ", ".join(str(one.get("number")) for one in strays)
        screen.note(f"Attempt {numbers} is a branch: --graft joins it to what it continues, --head shows it.")


def _tree(attempts: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Every attempt with its depth, parents before children, by number."""
    known = {one["attempt_id"] for one in attempts}
    children: dict[str | None, list[dict[str, Any]]] = {}
    for one in attempts:
        parent = one.get("parent") if one.get("parent") in known else None
        children.setdefault(parent, []).append(one)
    found: list[tuple[int, dict[str, Any]]] = []
    waiting = [(0, one) for one in reversed(children.pop(None, []))]
    while waiting:
        depth, one = waiting.pop()
        found.append((depth, one))
        waiting += [(depth + 1, child) for child in reversed(children.pop(one["attempt_id"], []))]
    return found


def _line(depth: int, one: dict[str, Any]) -> list[Cell | str]:
    mark = "* " if one.get("on_lineage") else "  "
    head = "  head" if one.get("head") else ""
    branch = "  └ " if depth else ""
    state = str(one.get("state"))
    return [
        f"{mark}{'  ' * max(0, depth - 1)}{branch}{one.get('number')}{head}",
        Cell(state, STATE_STYLE.get(state, "")),
        _steps(one),
        words.count(one.get("rows")),
        _cut(one),
        _shown(one),
        str(one.get("node") or "-"),
    ]


def _steps(one: dict[str, Any]) -> str:
    first, last = one.get("first_step"), one.get("last_step")
    return "-" if first is None else f"{words.count(first)}-{words.count(last)}"


def _cut(one: dict[str, Any]) -> str:
    by_hand = " by hand" if one.get("ordered") is not None else ""
    cut = one.get("cut")
    return (by_hand and "none" + by_hand) or "-" if cut is None else words.count(cut) + by_hand


def _shown(one: dict[str, Any]) -> str:
    if not one.get("on_lineage"):
        return "not: a branch" if one.get("branch") else "no"
    limit = one.get("hidden_from")
    return "all" if limit is None else f"before step {words.count(limit)}"


def _told(order: dict[str, Any], attempts: list[dict[str, Any]]) -> str:
    numbers = {one["attempt_id"]: one.get("number") for one in attempts}
    attempt, parent = numbers.get(order.get("attempt_id")), numbers.get(order.get("parent"))
    match order.get("what"):
        case "head":
            return f"attempt {attempt} is the head"
        case "graft":
            return f"attempt {attempt} continues attempt {parent}"
    step = order.get("step")
    return f"attempt {attempt} cuts " + ("nothing" if step is None else f"at step {step}")
