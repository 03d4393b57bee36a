"""Hyperband's question: is this run, after so many values of the metric, among the best share of all?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from respool_hub.service.sweeps.config import Hyperband

Marks = Mapping[int, float]
"""The best value up to each band that a run has reached, smaller is better."""


def marks_of(values: Iterable[float], bands: Sequence[int]) -> dict[int, float]:
    """The marks of a run that logged these values, smaller is better."""
    found: dict[int, float] = {}
    best = float("inf")
    waiting = list(bands)
    for count, value in enumerate(values, 1):
        best = min(best, value)
        while waiting and count >= waiting[0]:
            found[waiting.pop(0)] = best
    return found


def stops(mine: Marks, others: Sequence[Marks], rule: Hyperband) -> bool:
    """Whether the run is to end: at its newest band, or at any if strict, it is not among the best 1/eta."""
    reached = sorted(mine)
    return any(_worse(mine, others, band, rule.eta) for band in (reached if rule.strict else reached[-1:]))


def _worse(mine: Marks, others: Sequence[Marks], band: int, eta: float) -> bool:
    values = sorted([mine[band], *(one[band] for one in others if band in one)])
    if len(values) < eta:
        return False
    return mine[band] > values[max(int(len(values) / eta) - 1, 0)]
