"""Curves in braille dots with axes and a legend. Pure: lines of text, styled by a function of the caller's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from plotille import Canvas

from respoold.cli import words

COLOURS = ("cyan", "yellow", "green", "red", "blue", "bold")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DOTS = 2
_BLANK = "\u2800"
Paint = Callable[[str, str], str]


class Curve(NamedTuple):
    """Points in the order of x; both finite."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]


class Frame(NamedTuple):
    """How much of the plane is shown. With `log` the y values are their logarithms to base 10."""

    left: float
    right: float
    low: float
    high: float
    log: bool = False


def smoothed(ys: Sequence[float], weight: float) -> list[float]:
    """The exponential moving average, without the pull of a first value: 0 leaves all as it is."""
    average, scale, found = 0.0, 0.0, []
    for value in ys:
        average = average * weight + value * (1 - weight)
        scale = scale * weight + (1 - weight)
        found.append(average / scale)
    return found


def draw(
    curves: Sequence[Curve],
    width: int,
    height: int,
    paint: Paint,
    *,
    log: bool = False,
    marks: Sequence[float] = (),
) -> list[str]:
    """The chart, `width` columns wide and `height` lines high, with its axes and a line for each curve. `marks` are
    places on the x axis that get a tick.
    """
    plane = [_logged(curve) for curve in curves] if log else list(curves)
    frame = _frame(plane, log=log)
    labels = _levels(frame, height)
    margin = max(map(len, labels))
    columns = max(10, width - margin - 3)
    cells = _cells(plane, frame, columns, height)
    lines = [
        f"{label:>{margin}} {'┤' if label else '│'} {_painted(row, paint)}".rstrip()
        for label, row in zip(labels, cells, strict=True)
    ]
    ends = _ends(frame, columns)
    return [
        *lines,
        " " * margin + " └─" + _axis(frame, columns, marks),
        " " * (margin + 3) + ends,
        *legend(curves, paint),
    ]


def legend(curves: Sequence[Curve], paint: Paint) -> list[str]:
    """One line for each curve: its letter, what it is, its last, least and greatest value."""
    width = max(len(curve.label) for curve in curves)
    lines = []
    for index, curve in enumerate(curves):
        least, greatest = (_extreme(curve, best) for best in (min, max))
        letter = paint(LETTERS[index], COLOURS[index % len(COLOURS)])
        numbers = f"last {curve.ys[-1]:.5g}   min {least}   max {greatest}"
        lines.append(f"{letter}  {curve.label:<{width}}   {numbers}")
    return lines


def _extreme(curve: Curve, best: Callable[[Sequence[float]], float]) -> str:
    value = best(curve.ys)
    return f"{value:.5g} at {_number(curve.xs[list(curve.ys).index(value)])}"


def _logged(curve: Curve) -> Curve:
    pairs = [(x, math.log10(y)) for x, y in zip(curve.xs, curve.ys, strict=True) if y > 0]
    return Curve(curve.label, [x for x, _ in pairs], [y for _, y in pairs])


def _frame(curves: Sequence[Curve], *, log: bool) -> Frame:
    xs = [x for curve in curves for x in (min(curve.xs, default=0.0), max(curve.xs, default=1.0))]
    ys = [y for curve in curves for y in (min(curve.ys, default=0.0), max(curve.ys, default=1.0))]
    low, high = min(ys), max(ys)
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    left, right = min(xs), max(xs)
    return Frame(left, right if right > left else left + 1.0, low, high, log)


def _levels(frame: Frame, height: int) -> list[str]:
    """The label of each line, most of them empty, from the top."""
    every = max(1, (height - 1) // 4)
    labels = []
    for at in range(height):
        value = frame.high - (frame.high - frame.low) * at / max(1, height - 1)
        shown = 10**value if frame.log else value
        labels.append(f"{shown:.{2 if frame.log else 3}g}" if at % every == 0 or at == height - 1 else "")
    return labels


def _cells(curves: Sequence[Curve], frame: Frame, columns: int, height: int) -> list[list[tuple[str, int]]]:
    """Each place's dots with the curve they belong to; where two meet the later wins. A curve's letter stands at its
    end.
    """
    cells = [[(" ", -1)] * columns for _ in range(height)]
    for index, curve in enumerate(curves):
        for row, dots in enumerate(_dots(curve, frame, columns, height)):
            for column, dot in enumerate(dots[:columns]):
                if dot not in {_BLANK, " "}:
                    cells[row][column] = (dot, index)
    for index, curve in enumerate(curves) if len(curves) > 1 else ():
        if curve.xs:
            column = int((curve.xs[-1] - frame.left) / (frame.right - frame.left) * (columns - 1))
            row = round((frame.high - curve.ys[-1]) / (frame.high - frame.low) * (height - 1))
            cells[row][column] = (LETTERS[index], index)
    return cells


def _dots(curve: Curve, frame: Frame, columns: int, height: int) -> list[str]:
    canvas = Canvas(
        columns,
        height,
        xmin=frame.left,
        xmax=frame.right + (frame.right - frame.left) * 1e-9,
        ymin=frame.low,
        ymax=frame.high + (frame.high - frame.low) * 1e-9,
    )
    last: tuple[float, float] | None = None
    for x, y in _thinned(curve, frame, columns * _DOTS):
        if last is None:
            canvas.point(x, y)
        else:
            canvas.line(*last, x, y)
        last = (x, y)
    return str(canvas.plot()).splitlines()


def _thinned(curve: Curve, frame: Frame, places: int) -> Iterator[tuple[float, float]]:
    """Of what falls on one column of dots the first, least, greatest and last point: a spike is never lost."""
    if len(curve.xs) <= places * 4:
        yield from zip(curve.xs, curve.ys, strict=True)
        return
    scale = places / (frame.right - frame.left)
    held: list[tuple[float, float]] = []
    place = -1
    for point in zip(curve.xs, curve.ys, strict=True):
        here = int((point[0] - frame.left) * scale)
        if here != place:
            yield from _kept(held)
            held, place = [], here
        held.append(point)
    yield from _kept(held)


def _kept(held: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(held) <= 4:
        return held
    by_value = sorted(held[1:-1], key=lambda point: point[1])
    return [held[0], *sorted({by_value[0], by_value[-1]}), held[-1]]


def _painted(row: Sequence[tuple[str, int]], paint: Paint) -> str:
    """A line with one colour code for each run of places that are one curve's."""
    text, run, owner = "", "", -1
    for cell, index in [*row, ("", -2)]:
        if index != owner:
            text += paint(run, COLOURS[owner % len(COLOURS)]) if owner >= 0 else run
            run, owner = "", index
        run += cell
    return text


def _axis(frame: Frame, columns: int, marks: Sequence[float]) -> str:
    axis = ["─"] * columns
    for mark in marks:
        if frame.left <= mark <= frame.right:
            place = (mark - frame.left) / (frame.right - frame.left) * (columns - 1)
            axis[round(place)] = "╂"
    return "".join(axis)


def _ends(frame: Frame, columns: int) -> str:
    between = (frame.left + frame.right) / 2
    between = round(between) if frame.right - frame.left > 100 else between
    first, middle, last = _number(frame.left), _number(between), _number(frame.right)
    half = columns // 2
    left = first.ljust(half - len(middle) // 2) + middle
    return left.ljust(columns - len(last)) + last if len(left) + len(last) < columns else first


def _number(value: float) -> str:
    return words.count(value) if value == int(value) else f"{value:.5g}"
