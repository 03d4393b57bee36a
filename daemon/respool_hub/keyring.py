"""The keys seen lately, so that a request with a known key costs no look into the store."""

from __future__ import annotations

from respool_hub.clock import Clock
from respool_hub.store.rows import KeyRow

FRESH_SECONDS = 5.0
"""How long another hub's process over the same store may still honour a key that was revoked here."""

MOST = 10_000


TOUCH_SECONDS = 300.0
"""How exactly it is known when a key was last used."""


class Keyring:
    """Digest or id -> key, for FRESH_SECONDS. What is unknown is not remembered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[bytes | str, tuple[float, KeyRow]] = {}

    def find(self, name: bytes | str) -> KeyRow | None:
        at, row = self._known.get(name, (0.0, None))
        return row if self._clock.steady() - at < FRESH_SECONDS else None

    def remember(self, row: KeyRow) -> None:
        if len(self._known) >= MOST:
            self.clear()
        self._known[row.digest] = self._known[row.key_id] = (self._clock.steady(), row)

    def clear(self) -> None:
        """A key was revoked: look again at once."""
        self._known.clear()
