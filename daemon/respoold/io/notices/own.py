"""What a user, or a site, has of its own: a file that appears, a command that says so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import trio

from respoold.core.notice import Foreseen, Withdrawn
from respoold.io.notices.metadata import Tell

FILE, COMMAND = "file", "command"
PERIOD = 2.0
ANSWER_SECONDS = 30.0
MAX_TEXT = 64


class File:
    """A notice stands while `path` exists. Its first line may be the deadline, in seconds since the epoch."""

    def __init__(self, path: str, period: float = PERIOD) -> None:
        self._path = path
        self._period = period

    async def watch(self, tell: Tell) -> NoReturn:
        while True:
            text = _beginning(self._path)
            tell(Withdrawn(FILE) if text is None else Foreseen(FILE, deadline_in(text)))
            await trio.sleep(self._period)


class Command:
    """A notice stands while `argv` exits 0. Its first line of output may be the deadline, as in a file. A command
    that takes longer than 30 s is ended, and has said nothing.
    """

    def __init__(self, argv: Sequence[str], period: float = PERIOD) -> None:
        self._argv = list(argv)
        self._period = period

    async def watch(self, tell: Tell) -> NoReturn:
        while True:
            with trio.move_on_after(ANSWER_SECONDS), suppress(OSError):
                done = await trio.run_process(
                    self._argv, capture_stdout=True, stderr=subprocess.DEVNULL, stdin=b"", check=False
                )
                said = deadline_in(done.stdout[:MAX_TEXT].decode("ascii", "replace"))
                tell(Withdrawn(COMMAND) if done.returncode else Foreseen(COMMAND, said))
            await trio.sleep(self._period)


def deadline_in(text: str) -> float:
    """Seconds since the epoch on the first line; 0 for anything else."""
    first = text.strip().partition("\n")[0].strip()
    return float(first) if first.replace(".", "", 1).isdecimal() and first.isascii() else 0.0


def _beginning(path: str) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file, suppress(OSError):
        return (file.read(MAX_TEXT) or b"").decode("ascii", "replace")
    return ""
