"""When a run's history is worth reading again for hyperband: a whole history is read each time."""

from __future__ import annotations

PACE, GROWTH = 4, 8


class Looks:
    """By lease the number of rows from which on its run may have reached its next band. Kept in memory alone: a hub
    that starts anew reads once more.
    """

    def __init__(self) -> None:
        self._due: dict[str, int] = {}

    def due(self, lease: str, rows: int, band: int) -> bool:
        """Whether a history of so many rows may hold `band` values of the metric."""
        return rows >= max(band, self._due.get(lease, 0))

    def looked(self, lease: str, rows: int, values: int, band: int) -> None:
        """So many values were among so many rows, fewer than `band`. A row holds one at most. Where most hold none, the
        next look is a quarter of the way to the band at the pace so far, or when the history has grown by an eighth:
        the first is late by little, the second keeps all looks together within a few times the last one.
        """
        missing = band - values
        paced = missing * rows // values if values else rows
        self._due[lease] = rows + max(missing, min(paced // PACE, rows // GROWTH))
