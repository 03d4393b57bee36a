"""Axes: metrics that count training's progress, for trainers that never name a step.

Such a trainer's `run.step` only grows, whatever it trains again; where it stands is told by a metric of its
rows. A row counts for an axis when it holds a finite number for it and is not late: its step is not below
that of a row that counted before. All of this follows from one writer's records, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite
from typing import Any, NamedTuple, TypeGuard

from respool.wire.frames import EXPLICIT_STEP, NO_STEP, Frame

KNOWN = frozenset({"trainer/global_step", "train/global_step"})
"""What Lightning and Transformers log. Others are named by define_metric(step_metric=)."""


class First(NamedTuple):
    """The first row that counted and whose step nobody named: its seq, its step, and how far it was."""

    seq: int
    step: int
    value: float


class Axis:
    """How far one writer got on one axis. `since`: the seq of the first row that counted; `step` and
    `greatest`: of the rows that counted, the greatest step and value.
    """

    __slots__ = ("first", "greatest", "since", "step")

    def __init__(
        self, since: int, first: First | None = None, step: int = NO_STEP, greatest: float = -inf
    ) -> None:
        self.since = since
        self.first = first
        self.step = step
        self.greatest = greatest

    def plain(self) -> list[Any]:
        """What `axis_of` reads."""
        return [self.since, None if self.first is None else list(self.first), self.step, self.greatest]


def axis_of(plain: Any) -> Axis:
    """An axis from its plain values."""
    since, first, step, greatest = plain
    return Axis(since, None if first is None else First(*first), step, greatest)


def names_of(metrics: Any) -> frozenset[str]:
    """The axes by which metrics with these definitions are drawn, and those that are known anyway."""
    defined = metrics.values() if isinstance(metrics, dict) else ()
    named = (one.get("step_metric") for one in defined if isinstance(one, dict))
    return KNOWN.union(name for name in named if isinstance(name, str))


def advance(axes: dict[str, Axis], names: Iterable[str], row: dict[str, Any], frame: Frame) -> None:
    """Take one row."""
    for name in names:
        value = row.get(name)
        if value is not None and counts(value):
            axis = axes.get(name)
            if axis is None:
                axis = axes[name] = Axis(frame.seq)
            if frame.step >= axis.step:
                axis.step = frame.step
                if axis.first is None and not frame.flags & EXPLICIT_STEP:
                    axis.first = First(frame.seq, frame.step, value)
                axis.greatest = max(axis.greatest, value)


def counts(value: Any) -> TypeGuard[float]:
    """Whether a row's value says how far it is."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
