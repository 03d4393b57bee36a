"""How much a run's config may hold, and what is recorded of a value that is too much."""

from __future__ import annotations

from typing import Any

from respool import notices, row_codec

MAX_CONFIG = 4 << 20
"""Bytes of a whole config as it is recorded: half a segment. Every segment begins with all of it, and one that it
filled would have room for a single row.
"""


class ConfigRoom:
    """The size of each key. `stand_ins`: what is recorded instead of a value; the script keeps the value itself."""

    def __init__(self, values: dict[str, Any], *, strict: bool) -> None:
        self.stand_ins: dict[str, str] = {}
        self._strict = strict
        self._sizes = {key: row_codec.size_of({key: value}) for key, value in values.items()}
        self._total = sum(self._sizes.values())

    def take(self, new: dict[str, Any]) -> dict[str, Any]:
        """`new` as it is recorded: without the values that are too much, the largest first. Raises UsageError if
        strict, and then has taken nothing.
        """
        sizes = {key: row_codec.size_of({key: value}, row_codec.told) for key, value in new.items()}
        total = self._total + sum(sizes.values()) - sum(self._sizes.get(key, 0) for key in new)
        stand_ins: dict[str, str] = {}
        for key in sorted(sizes, key=lambda key: sizes[key], reverse=True):
            if total <= MAX_CONFIG:
                break
            self._say(key, sizes[key])
            stand_ins[key] = f"<{sizes[key]} bytes, too much for a config>"
            total -= sizes[key]
            sizes[key] = 0
        self.forget(new)
        self._sizes.update(sizes)
        self._total = total
        self.stand_ins.update(stand_ins)
        return {**new, **stand_ins}

    def forget(self, keys: Any) -> None:
        """These are no longer in the config."""
        for key in keys:
            self._total -= self._sizes.pop(key, 0)
            self.stand_ins.pop(key, None)

    def _say(self, key: str, size: int) -> None:
        notices.misused(
            f"large config {key}",
            f"config {key!r:.60} takes {size} bytes, and a whole config may take {MAX_CONFIG}",
            "only its size is recorded",
            "save() such data as a file",
            strict=self._strict,
        )
