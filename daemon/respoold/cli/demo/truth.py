"""What the trainers say they logged, one file an attempt, each line written after `log()` had returned."""

from __future__ import annotations

import json
import os
from typing import NamedTuple


class Logged(NamedTuple):
    """One row that `log()` was given."""

    step: int
    loss: float
    accuracy: float


def read(path: str) -> list[Logged]:
    """Every whole line; the last one may have been cut by a SIGKILL."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        return []
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return [Logged(**json.loads(line)) for line in lines]


def last(path: str) -> Logged | None:
    """The last whole line, without reading what is before it."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 1024))
            text = file.read()
    except FileNotFoundError:
        return None
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return Logged(**json.loads(lines[-1])) if lines else None
