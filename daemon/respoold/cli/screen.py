"""The terminal: tables that fit, colour only where somebody sees it, JSON lines for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TextIO
from unicodedata import combining, east_asian_width

from respoold.cli.words import ELLIPSIS, clean, cut

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
STATE_STYLE = {
    "running": "green",
    "preempting": "yellow",
    "preempted": "yellow",
    "silent": "yellow",
    "finished": "",
    "failed": "red",
    "crashed": "red",
    "superseded": "dim",
}
GAP = "  "
MOST = 400
"""Characters of one cell: a text that somebody logged may be longer than all else together. `--json` has it."""


class Column(NamedTuple):
    """A column of a table. `shrink`: may be cut with an ellipsis where the screen is narrow; `rank`: columns
    with the highest rank above 0 are left out first; `middle`: shrinks too,
    and keeps both ends. Ids are neither cut nor left out.
    """

    title: str
    right: bool = False
    shrink: bool = False
    rank: int = 0
    middle: bool = False


class Cell(NamedTuple):
    """A text with a style from `_CODES`, or none."""

    text: str
    style: str = ""


class Screen:
    """Where a command writes. `width` None: nobody looks, nothing is cut to a screen's width."""

    def __init__(
        self, out: TextIO, err: TextIO, *, width: int | None, colour: bool, live: bool = False
    ) -> None:
        self.out = out
        self.err = err
        self.width = width
        self.colour = colour
        self.live = live

    def say(self, text: str = "", style: str = "") -> None:
        """One line for people on the output."""
        print(self.paint(text, style), file=self.out, flush=self.live)

    def note(self, text: str) -> None:
        """One line beside the output: it does not go into a pipe."""
        print(text, file=self.err, flush=True)

    def emit(self, item: dict[str, Any]) -> None:
        """One JSON object on its own line; strict JSON, keys in the order they came."""
        print(json.dumps(item, ensure_ascii=False, allow_nan=False, separators=(", ", ": ")), file=self.out)

    def paint(self, text: str, style: str) -> str:
        if not self.colour or not style or not text:
            return text
        return f"\x1b[{';'.join(_CODES[one] for one in style.split())}m{text}\x1b[0m"

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Cell | str]]) -> list[str]:
        """Print an aligned table; returns the titles of the columns for which there was no room."""
        cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
        cells = [
            [
                Cell(clean(cell.text if column.middle else cut(cell.text, MOST)), cell.style)
                for cell, column in zip(row, columns, strict=True)
            ]
            for row in cells
        ]
        natural = [
            max([columns_of(column.title), *(columns_of(row[at].text) for row in cells)])
            for at, column in enumerate(columns)
        ]
        widths = fit(columns, natural, self.width)
        self._line([Cell(column.title, "dim") for column in columns], columns, widths)
        for row in cells:
            self._line(row, columns, widths)
        return [column.title for column, width in zip(columns, widths, strict=True) if not width]

    def _line(self, row: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int]) -> None:
        shown = [
            self.paint(pad(_middle(cell.text, width, column), width, right=column.right), cell.style)
            for cell, column, width in zip(row, columns, widths, strict=True)
            if width
        ]
        line = GAP.join(shown)
        print(line if self.colour else line.rstrip(), file=self.out)


def fit(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> list[int]:
    """Column widths for a screen: the shrinking ones give way first, then whole columns by rank (0: gone)."""
    widths = list(natural)
    if width is None:
        return widths
    while _total(widths) > width:
        if _squeeze(columns, widths, _total(widths) - width):
            break
        optional = [at for at, column in enumerate(columns) if column.rank and widths[at]]
        if not optional:
            break
        widths = [natural[at] if widths[at] else 0 for at in range(len(widths))]
        widths[max(optional, key=lambda at: (columns[at].rank, at))] = 0
    return widths


def _squeeze(columns: Sequence[Column], widths: list[int], excess: int) -> bool:
    """Take `excess` from the columns that may shrink, the widest first; True when that was enough."""
    able = [at for at, column in enumerate(columns) if (column.shrink or column.middle) and widths[at]]
    while excess > 0:
        able = [at for at in able if widths[at] > max(12, columns_of(columns[at].title))]
        if not able:
            return False
        widths[max(able, key=lambda at: widths[at])] -= 1
        excess -= 1
    return True


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(GAP) * max(0, len(shown) - 1)


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _middle(text: str, width: int, column: Column) -> str:
    """A text without its middle, where the column wants that and it is too long."""
    if not column.middle or columns_of(text) <= width:
        return text
    front, back = text[: len(text) // 2], text[len(text) // 2 :]
    while columns_of(front) + columns_of(back) > width - 1:
        if columns_of(front) > columns_of(back):
            front = front[:-1]
        else:
            back = back[1:]
    return front + ELLIPSIS + back


def pad(text: str, width: int, *, right: bool = False) -> str:
    """A text of exactly `width` columns: filled with spaces, or cut with an ellipsis."""
    if columns_of(text) > width:
        while text and columns_of(text) > width - 1:
            text = text[:-1]
        text += ELLIPSIS
    blanks = " " * (width - columns_of(text))
    return blanks + text if right else text + blanks


def open_screen() -> Screen:
    """The screen of this process: colour and width only where standard output is a terminal.

    NO_COLOR and TERM=dumb switch colour off; COLUMNS sets the width anywhere.
    """
    live = sys.stdout.isatty()
    columns = os.environ.get("COLUMNS", "")
    width = shutil.get_terminal_size().columns if live else None
    if columns.isdigit() and int(columns) > 0:
        width = int(columns)
    colour = live and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Screen(sys.stdout, sys.stderr, width=width, colour=colour, live=live)
