"""How far what is being uploaded has come, and how fast it goes. Pure: the time comes with each call."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

WINDOW = 15.0
"""Seconds that a rate looks back."""

SHORTEST = 0.5
"""Seconds that a rate is over at least: what went in a burst says little."""


class Transfer:
    """One upload. `there`: bytes of it that the hub has, those included that it had before."""

    def __init__(self, now: float) -> None:
        self.there = 0
        self._sent = deque[tuple[float, int]]()
        self._begin = now

    def again(self) -> None:
        """A turn begins: what is there is counted anew."""
        self.there = 0

    def had(self, size: int) -> None:
        """These bytes need not go."""
        self.there += size

    def sent(self, size: int, now: float) -> None:
        """These went."""
        self.there += size
        self._sent.append((now, size))
        while self._sent and self._sent[0][0] < now - WINDOW:
            self._sent.popleft()

    def rate(self, now: float) -> float | None:
        """Bytes a second lately; None while nobody can tell."""
        since = max(self._begin, now - WINDOW)
        recent = sum(size for at, size in self._sent if at >= since)
        return recent / (now - since) if recent and now - since >= SHORTEST else None


class Transfers:
    """Those under way, by (attempt id, whatever names it there)."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, Hashable], Transfer] = {}

    def turn(self, attempt_id: str, key: Hashable, now: float) -> Transfer:
        """A turn of an upload begins; it is known until it is `done`."""
        found = self._all.setdefault((attempt_id, key), Transfer(now))
        found.again()
        return found

    def get(self, attempt_id: str, key: Hashable) -> Transfer | None:
        return self._all.get((attempt_id, key))

    def done(self, attempt_id: str, key: Hashable) -> None:
        """It is at the hub, or given up."""
        self._all.pop((attempt_id, key), None)

    def forget(self, attempt_id: str) -> None:
        """Nothing of this attempt is sent any more."""
        for key in [key for key in self._all if key[0] == attempt_id]:
            del self._all[key]
