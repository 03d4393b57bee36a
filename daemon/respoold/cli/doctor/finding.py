"""One thing that was looked at: how it stands, why, and what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """`BAD`: it cannot work so. `WARN`: it works, and costs something. `NOTE`: good to know."""

    GOOD = "good"
    NOTE = "note"
    WARN = "warn"
    BAD = "bad"


class Finding(NamedTuple):
    """`about` is what was looked at, `line` where in a script (0: nowhere)."""

    level: Level
    about: str
    cause: str
    advice: str = ""
    line: int = 0
