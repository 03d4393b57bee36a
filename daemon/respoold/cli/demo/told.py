"""How the demo tells its story: one line for each thing that happens, and on a terminal one that moves."""

from __future__ import annotations

import time

from respoold.cli.demo.picture import Mark
from respoold.cli.demo.truth import Logged
from respoold.cli.screen import Screen
from respoold.cli.words import count

BAR = 24
REDRAW_SECONDS = 0.1


class Told:
    """The story so far. `marks` are the kills, `ends` how each attempt ended."""

    def __init__(self, screen: Screen, steps: int) -> None:
        self.marks: list[Mark] = []
        self.ends: list[str] = []
        self._screen = screen
        self._steps = steps
        self._began = time.monotonic()
        self._drawn = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def tell(self, who: str, what: str, style: str = "") -> None:
        """One line that stays."""
        self._write(self._line(who, what, style) + "\n")

    def kill(self, step: int, victim: str, what: str) -> None:
        """A line that stays, and a mark below the picture."""
        self.marks.append(Mark(step, victim))
        self.tell("SIGKILL", what, "red")

    def close(self) -> None:
        """No line is left half told."""
        self._write("")

    def watch(self, row: Logged | None) -> None:
        """How far the training is: a line that the next one replaces. Only on a terminal."""
        if row is None or not self._screen.live or self.seconds - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = self.seconds
        full = BAR * (row.step + 1) // self._steps
        bar = self._screen.paint("━" * full, "green") + self._screen.paint("━" * (BAR - full), "dim")
        self._write(self._line("", f"{bar} step {count(row.step):>5}, loss {row.loss:.2f}", ""))

    def _line(self, who: str, what: str, style: str) -> str:
        seconds = self._screen.paint(f"{self.seconds:5.1f} s", "dim")
        return f"{seconds}  {self._screen.paint(f'{who:<8}', style)} {what}"

    def _write(self, text: str) -> None:
        erase = "\r\x1b[K" if self._screen.live else ""
        print(erase + text, end="", file=self._screen.out, flush=True)
