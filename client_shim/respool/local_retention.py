"""Which of a process's checkpoints stay in a spool that has no daemon: as its run wants it, or fewer where room is
short. Those of several ranks stay: nobody here knows whether the newer ones are whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from respool.wire.attempt import NOTE
from respool.wire.retention import Candidate, dropped, policy_of


class Handed(NamedTuple):
    """One that was handed over: `files` are the paths of its bytes."""

    name: str
    step: int
    files: tuple[str, ...]
    keep: dict[str, Any] = {}
    score: float | None = None
    pinned: bool = False


class LocalRetention:
    """What this process handed over and what is still there; where room is short, also what `earlier` lives of its
    run left, or a run that is killed often would be full of them and keep nothing new.
    """

    def __init__(self, earlier: Callable[[], list[Handed]] = list) -> None:
        self._newest_first: list[Handed] = []
        self._earlier: Callable[[], list[Handed]] | None = earlier

    def took(self, handed: Handed) -> None:
        """One more; what it outlives goes."""
        self._newest_first.insert(0, handed)
        self._let_go(handed.name)

    def make_room(self) -> bool:
        """Only the newest of each name stays, and what is pinned, best, or kept for its step. Whether any went."""
        earlier, self._earlier = self._earlier, None
        self._newest_first += earlier() if earlier is not None else []
        before = len(self._newest_first)
        for name in {one.name for one in self._newest_first}:
            self._let_go(name, last=1)
        return len(self._newest_first) < before

    def _let_go(self, name: str, last: int | None = None) -> None:
        mine = [one for one in self._newest_first if one.name == name]
        policy = policy_of(mine[0].keep)
        candidates = [Candidate(one, one.step, pinned=one.pinned, score=one.score) for one in mine]
        for one in dropped(policy if last is None else policy._replace(last=last), candidates):
            self._newest_first.remove(one)
            for path in one.files:
                for each in (path, path + NOTE):
                    with suppress(OSError):  # what cannot be removed is `respool spool purge`'s
                        os.unlink(each)
