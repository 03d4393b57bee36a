"""One curve in braille dots, with the places marked where somebody was killed. Pure: lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from plotille import Canvas

HEIGHT = 11
LEFT = 7
_NO_DOTS = "\u2800"


class Mark(NamedTuple):
    """Something happened at a step; a short text for below the axis."""

    step: int
    text: str


def draw(points: Sequence[tuple[int, float]], marks: Sequence[Mark], width: int, title: str) -> list[str]:
    """The curve over the steps, `width` columns wide; every point is drawn, none is smoothed."""
    steps, values = [step for step, _ in points], [value for _, value in points]
    low, high = 0.0, max(values) * 1.02
    columns = width - LEFT - 3
    canvas = Canvas(columns, HEIGHT, xmin=min(steps), ymin=low, xmax=max(steps) + 1, ymax=high)
    for (x0, y0), (x1, y1) in pairwise(points):
        canvas.line(x0, y0, x1, y1)
    lines = [f"{title:>{LEFT}}"]
    for at, dots in enumerate(canvas.plot().splitlines()):
        line = _hang(dots, [_column(mark.step, min(steps), max(steps), columns) for mark in marks])
        value = high - (high - low) * at / (HEIGHT - 1)
        label = f"{value:.1f}" if at % 5 == 0 else ""
        lines.append(f"{label:>{LEFT}} {'┤' if label else '│'} {line}".rstrip())
    return [*lines, *_axis(steps, marks, columns)]


def _hang(dots: str, places: Sequence[int]) -> str:
    """Threads down to the marks, behind the curve."""
    cells = [" " if dot == _NO_DOTS else dot for dot in dots]
    for place in places:
        cells[place] = "┊" if cells[place] == " " else cells[place]
    return "".join(cells).rstrip()


def _axis(steps: Sequence[int], marks: Sequence[Mark], columns: int) -> list[str]:
    """The axis with a tick under each mark, then the marks' texts on as few lines as they need."""
    first, last = min(steps), max(steps)
    places = [(_column(mark.step, first, last, columns), mark.text) for mark in sorted(marks)]
    axis = ["─"] * columns
    for place, _ in places:
        axis[place] = "╂"
    margin = " " * (LEFT + 3)
    ends = f"{first}".ljust(columns - len(str(last))) + f"{last}"
    return [
        " " * LEFT + " └─" + "".join(axis),
        margin + ends,
        *(margin + line for line in _texts(places, columns)),
    ]


def _texts(places: Sequence[tuple[int, str]], columns: int) -> list[str]:
    lines: list[str] = []
    for place, text in places:
        label = f"▲ {text}"
        start = min(place, columns - len(label))
        if start < place:
            label, start = f"{text} ▲", place - len(text) - 1
        free = next((at for at, line in enumerate(lines) if len(line) + 2 <= start), None)
        if free is None:
            lines.append("")
            free = len(lines) - 1
        lines[free] = lines[free].ljust(start) + label
    return lines


def _column(step: int, first: int, last: int, columns: int) -> int:
    return min(columns - 1, (step - first) * columns // max(1, last + 1 - first))
