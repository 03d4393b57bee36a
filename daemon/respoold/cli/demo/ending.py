"""How the demo ends on the screen: the attempts, and one curve through all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from respoold.cli.demo.picture import Mark, draw
from respoold.cli.demo.truth import Logged
from respoold.cli.screen import STATE_STYLE, Cell, Column, Screen
from respoold.cli.words import count

WIDEST = 100

_COLUMNS = (
    Column("ATTEMPT", right=True),
    Column("STATE"),
    Column("LOGGED", right=True),
    Column("IN THE HISTORY", right=True),
    Column("ROWS", right=True),
    Column("ENDED BY", shrink=True),
)


def show_ending(
    screen: Screen,
    run: dict[str, Any],
    truths: Sequence[Sequence[Logged]],
    history: Sequence[dict[str, Any]],
    marks: Sequence[Mark],
    ends: Sequence[str],
) -> None:
    """The table and the picture."""
    screen.say()
    attempts = sorted(run.get("attempts") or [], key=lambda attempt: attempt.get("number") or 0)
    whose = owners(truths)
    screen.table(
        _COLUMNS,
        [
            _row(attempt, truth, whose, end)
            for attempt, truth, end in zip(attempts, truths, ends, strict=False)
        ],
    )
    points = [(row["_step"], row["loss"]) for row in history if isinstance(row.get("loss"), float)]
    encoding = (screen.out.encoding or "").lower().replace("-", "")
    if len(points) < 2 or not encoding.startswith("utf"):
        return
    screen.say()
    for line in draw(points, marks, min(screen.width or 80, WIDEST), "loss"):
        screen.say(line)


def owners(truths: Sequence[Sequence[Logged]]) -> dict[int, int]:
    """Which attempt's row the history shows for a step: the last that logged it."""
    return {row.step: number for number, truth in enumerate(truths, 1) for row in truth}


def _row(attempt: dict[str, Any], truth: Sequence[Logged], whose: dict[int, int], end: str) -> list[Cell]:
    number, state = int(attempt.get("number") or 0), str(attempt.get("state"))
    mine = [step for step, owner in whose.items() if owner == number]
    return [
        Cell(count(number)),
        Cell(state, STATE_STYLE.get(state, "")),
        Cell(span([row.step for row in truth])),
        Cell(span(mine)),
        Cell(count(Counter(whose.values())[number])),
        Cell(end),
    ]


def span(steps: Sequence[int]) -> str:
    return f"{count(min(steps))} - {count(max(steps))}" if steps else "-"
