"""Superseded without a daemon: who takes a run over says so in the attempt's folder, and who was taken over looks.

The paper is `superseded.json` in the older attempt's folder. It is put there with the first row, or the rewind, of
the attempt that took over, because one that ends before changes nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from time import monotonic

from respool import notices
from respool.state_file import replace_file
from respool.wire.limits import HEARTBEAT_SECONDS
from respool.wire.messages import Notice

PAPER = "superseded.json"


class LocalWatch:
    """One look at the own attempt's folder every few seconds, inside the trainer's own calls. `overruled` are the
    folders of the attempts that this one takes the run from.
    """

    def __init__(
        self, directory: str, overruled: Sequence[str], clock: Callable[[], float] = monotonic
    ) -> None:
        self._directory = directory
        self._overruled = list(overruled)
        self._clock = clock
        self._next = 0.0
        self._told = False
        self._on_notice: Callable[[Notice], None] | None = None

    def follow(self, on_notice: Callable[[Notice], None]) -> None:
        """`on_notice` hears it when the run is taken over."""
        self._on_notice = on_notice

    def turn(self, *, moved: bool) -> None:
        """Tell, once this attempt has `moved` the run's head, and look. Two system calls at most, and rarely."""
        if moved and self._overruled:
            self._tell()
        now = self._clock()
        if self._told or now < self._next or self._on_notice is None:
            return
        self._next = now + HEARTBEAT_SECONDS
        if os.path.exists(os.path.join(self._directory, PAPER)):
            self._told = True
            self._on_notice(Notice("superseded", self._text()))

    def _tell(self) -> None:
        directories, self._overruled = self._overruled, []
        who = {
            "node": os.uname().nodename,
            "pid": os.getpid(),
            "attempt_id": os.path.basename(self._directory),
        }
        for directory in directories:
            try:
                replace_file(os.path.join(directory, PAPER), json.dumps(who).encode())
            except OSError as error:
                notices.warn("tell", f"the attempt in {directory} could not be told: {error.strerror}.")

    def _text(self) -> str:
        try:
            with open(os.path.join(self._directory, PAPER), encoding="utf-8") as file:
                who = json.load(file)
            by = f"Process {who['pid']} on {who['node']}"
        except (OSError, ValueError, KeyError, TypeError):
            by = "Another process"
        return f"{by} took this run over. What is logged here from now on stays on this attempt, as a branch."
