"""All attempts that a node keeps, and the questions asked of them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from respoold.core.attempt import Attempt


class Node:
    """Attempts by id, in the order in which they began: by their clocks, but no child before its parent, for a clock
    may have been set between them.
    """

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._attempts.values()))

    def __contains__(self, attempt_id: str) -> bool:
        return attempt_id in self._attempts

    def add(self, attempt: Attempt) -> None:
        """Keep one that may have begun before others that are kept: a spool without a daemon is found late."""
        later = self._later(attempt)
        self._attempts[attempt.id] = attempt
        for one in later:
            self._attempts[one.id] = self._attempts.pop(one.id)

    def get(self, attempt_id: str) -> Attempt | None:
        return self._attempts.get(attempt_id)

    def drop(self, attempt_id: str) -> None:
        self._attempts.pop(attempt_id, None)

    def _later(self, attempt: Attempt) -> list[Attempt]:
        """Those kept of the same project that belong behind it."""
        found, below = list[Attempt](), {attempt.id}
        for one in self._attempts.values():
            behind = one.request.started_at > attempt.request.started_at and one.id != attempt.file.parent
            if one.run[0] == attempt.run[0] and (behind or one.file.parent in below):
                found.append(one)
                below.add(one.id)
        return found

    def of_run(self, uid: int, run: tuple[str, str]) -> list[Attempt]:
        """A run's attempts here, the oldest first; also those that the hub keeps under this id."""
        project, run_id = run
        return [
            one
            for one in self._attempts.values()
            if one.file.uid == uid and one.run[0] == project and run_id in {one.run[1], one.home}
        ]

    def of_call(self, uid: int, incarnation: str) -> Attempt | None:
        """The attempt that a call of init() was answered with before."""
        mine = (one for one in self._attempts.values() if one.file.uid == uid)
        return next((one for one in mine if one.writer_of(incarnation)), None)

    def incomplete(self) -> list[Attempt]:
        return [attempt for attempt in self._attempts.values() if not attempt.complete]

    def unregistered_before(self, attempt: Attempt) -> bool:
        """Whether an older attempt of the same run must be registered first, for parents come first."""
        for other in self.of_run(attempt.file.uid, attempt.run):
            if other is attempt:
                return False
            if not other.registered:
                return True
        return False


def pending_bytes(attempts: Iterable[Attempt]) -> int:
    """Bytes of records that the hub does not have."""
    return sum(
        extent.size for attempt in attempts for writer in attempt.tails for extent in attempt.pending(writer)
    )
