"""Which of a process's checkpoints stay in a spool that has no daemon: as its run wants it, or fewer where room is
short. Of those of several ranks each removes its own share (`local_shares`); where not all ranks write to this spool,
none is whole here, and all stay.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from respool.local_shares import SharedSave, Standing
from respool.wire.attempt import NOTE
from respool.wire.retention import Candidate, dropped, policy_of


class Handed(NamedTuple):
    """One that was handed over: `files` are the paths of its bytes, `size` of them in all, as far as it is known.
    `shared`: it is one rank's share, and the others' say counts too.
    """

    name: str
    step: int
    files: tuple[str, ...]
    keep: dict[str, Any] = {}
    score: float | None = None
    pinned: bool = False
    size: int = 0
    shared: SharedSave | None = None

    @property
    def rank(self) -> int:
        """Whose it is."""
        return 0 if self.shared is None else self.shared.place.rank

    @property
    def standing(self) -> Standing:
        """How the checkpoint stands that it is, or is a share of."""
        if self.shared is not None:
            return self.shared.standing()
        return Standing(self.whole, doomed=False, keep=self.keep, score=self.score, pinned=self.pinned)

    @property
    def whole(self) -> bool:
        """Whether its bytes are there: those of a staged one come after it was handed over."""
        return self.held >= self.size

    @property
    def held(self) -> int:
        total = 0
        for path in self.files:
            with suppress(OSError):
                total += os.stat(path).st_size
        return total


class LocalRetention:
    """What this process handed over and what is still there; where room is short, also what `earlier` lives of its
    run left, or a run that is killed often would be full of them and keep nothing new. Threads take turns; a signal
    handler that interrupts one may hand over another.
    """

    def __init__(self, earlier: Callable[[], list[Handed]] = list) -> None:
        self._newest_first: list[Handed] = []
        self._earlier: Callable[[], list[Handed]] | None = earlier
        self._turn = threading.RLock()

    def took(self, handed: Handed) -> None:
        """One more; what it outlives goes."""
        with self._turn:
            self._newest_first.insert(0, handed)
            self._let_go(self._outlived(handed.name, handed.rank))

    def tidy(self) -> None:
        """What is outlived goes: that the last ones are whole may not have been known when they were handed over."""
        with self._turn:
            for name, rank in self._names():
                self._let_go(self._outlived(name, rank))

    def make_room(self, lacking: int) -> bool:
        """Only the newest whole one of each name stays, and what is pinned, best, or kept for its step; unless all
        that would go has fewer bytes than are `lacking`. Whether any went.
        """
        with self._turn:
            earlier, self._earlier = self._earlier, None
            self._newest_first.extend(earlier() if earlier is not None else ())
            spare = [one for which in self._names() for one in self._outlived(*which, last=1)]
            enough = 0 < lacking <= sum(one.held for one in spare)
            if enough:
                self._let_go(spare)
        return enough

    def _names(self) -> set[tuple[str, int]]:
        return {(one.name, one.rank) for one in self._newest_first}

    def _outlived(self, name: str, rank: int, last: int | None = None) -> list[Handed]:
        mine = [(one, one.standing) for one in self._newest_first if (one.name, one.rank) == (name, rank)]
        policy = policy_of(mine[0][1].keep if mine else {})
        candidates = [Candidate(one, one.step, at.whole, at.pinned, at.score) for one, at in mine]
        doomed = [one for one, at in mine if at.doomed]
        found = dropped(policy if last is None else policy._replace(last=last), candidates)
        return [*doomed, *(one for one in found if one not in doomed)]

    def _let_go(self, those: list[Handed]) -> None:
        for one in those:
            with suppress(ValueError):
                self._newest_first.remove(one)
            if one.shared is not None:
                one.shared.let_go()
            for path in one.files:
                for each in (path, path + NOTE):
                    with suppress(OSError):  # what cannot be removed is `respool spool purge`'s
                        os.unlink(each)
