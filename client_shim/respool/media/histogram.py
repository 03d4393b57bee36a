"""`Histogram`: counts and edges, kept in the row itself."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import Any

from respool import notices
from respool.media.base import UNUSABLE
from respool.media.shelf import Shelf

MOST_BINS = 512


class Histogram:
    """Counts per bin of a sequence (an array or a tensor of any shape too), or what numpy.histogram returned.
    Values that are not finite are left out. What cannot be read is warned of and becomes an empty histogram.
    """

    MAX_LENGTH = MOST_BINS

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        self.histogram: list[float] = []
        self.bins: list[float] = []
        try:
            if np_histogram is not None:
                self.histogram, self.bins = _given(np_histogram)
            else:
                self.histogram, self.bins = counted(_flat(sequence), min(max(int(num_bins), 1), MOST_BINS))
        except UNUSABLE as error:
            cause = f"Histogram() cannot use what it was given: {error}"
            notices.misused(f"histogram {error}", cause, "it is empty", "Pass numbers")

    def respool_reference(self, shelf: Shelf, key: str) -> dict[str, Any]:  # noqa: ARG002 - as other media
        """Itself, in W&B's shape: no file is needed."""
        return {"_type": "histogram", "values": self.histogram, "bins": self.bins}


def _given(np_histogram: Any) -> tuple[list[float], list[float]]:
    values, bins = np_histogram
    counts, edges = [float(value) for value in values], [float(edge) for edge in bins]
    if len(edges) != len(counts) + 1 or len(counts) > MOST_BINS:
        raise ValueError(
            f"{len(counts)} counts and {len(edges)} edges; it takes N and N + 1, N up to {MOST_BINS}"
        )
    return counts, edges


def _flat(sequence: Any) -> Any:
    if hasattr(sequence, "detach"):
        sequence = sequence.detach().cpu().float().numpy()
    if hasattr(sequence, "ravel"):
        return sequence.ravel()
    return [float(value) for value in sequence]


def counted(values: Any, bins: int) -> tuple[list[float], list[float]]:
    """Counts and edges of finite values in equal bins."""
    if hasattr(values, "ravel"):
        import numpy as np  # noqa: PLC0415 - the script brought an array, so it has numpy

        heights, borders = np.histogram(values[np.isfinite(values)], bins=bins)
        return heights.astype(float).tolist(), borders.astype(float).tolist()
    finite = [value for value in values if isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = (high - low) / bins
    found = [0.0] * bins
    for value in finite:
        found[min(int((value - low) / width), bins - 1)] += 1
    edges = [low + width * index for index in range(bins)] + [high]
    assert all(left <= right for left, right in pairwise(edges))
    return found, edges
