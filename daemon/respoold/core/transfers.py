"""How far what is being uploaded has come, and how fast it goes. Pure: the time comes with each call."""

from __future__ import annotations

from collections.abc import Hashable

WINDOW = 15.0
"""Seconds that a rate looks back."""

SHORTEST = 0.5
"""Seconds that a rate is over at least: what went in a burst says little."""


class Transfer:
    """One upload. Only `sent` may be called from any thread: it does nothing but append."""

    def __init__(self, now: float) -> None:
        self._had = 0
        self._turn: list[tuple[float, int]] = []
        self._before: list[tuple[float, int]] = []
        self._begin = now

    def again(self, now: float) -> None:
        """A turn begins: what is there is counted anew."""
        self._before = self._lately(now)
        self._had, self._turn = 0, []

    def had(self, size: int) -> None:
        """These bytes need not go."""
        self._had += size

    def sent(self, size: int, now: float) -> None:
        """These went."""
        self._turn.append((now, size))

    @property
    def there(self) -> int:
        """Bytes of it that went, those included that the hub had before."""
        return self._had + sum(size for _, size in self._turn)

    def _lately(self, now: float) -> list[tuple[float, int]]:
        return [one for one in [*self._before, *self._turn] if one[0] >= now - WINDOW]

    def rate(self, now: float) -> float | None:
        """Bytes a second lately; None while nobody can tell."""
        since = max(self._begin, now - WINDOW)
        recent = sum(size for at, size in self._lately(now) if at >= since)
        return recent / (now - since) if recent and now - since >= SHORTEST else None


class Transfers:
    """Those under way, by (attempt id, whatever names it there)."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, Hashable], Transfer] = {}

    def turn(self, attempt_id: str, key: Hashable, now: float) -> Transfer:
        """A turn of an upload begins; it is known until it is `done`."""
        found = self._all.setdefault((attempt_id, key), Transfer(now))
        found.again(now)
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
