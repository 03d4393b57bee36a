"""Where a trainer that never names a step began to repeat its ancestors' rows, by axes (`respool.wire.axes`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from respool.wire import codec
from respool.wire.axes import Axis, First, advance, counts
from respool.wire.errors import WireError
from respool.wire.frames import NO_STEP, Frame, Kind
from respool.wire.view import View

Reach = Callable[[str, str, float], int | None]
"""The step of the first row of an attempt (its id) that reached, on an axis (its name), a value; None if none did."""

Ancestor = tuple[str, int | None]
"""An attempt's id, and the step from which a cut hides its rows (None: from none)."""


def repeated(axes: Mapping[str, First], ancestors: Sequence[Ancestor], reach: Reach) -> int | None:
    """The step of the ancestors' first visible row that was as far as these first rows are.

    A row that is on several axes repeats one that was as far on each of them: the first iteration that is done
    again lies in an epoch that began earlier. Rows that are on different axes speak for themselves.
    """
    cut: int | None = None
    for _, row in groupby(sorted(axes.items(), key=_seq), key=_seq):
        steps = [_reached(ancestors, name, first.value, reach) for name, first in row]
        cut = lower(cut, max((step for step in steps if step is not None), default=None))
    return cut


def lower(one: int | None, other: int | None) -> int | None:
    """The lower of two limits, None being none."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def firsts_in(frames: Iterable[Frame]) -> dict[str, First]:
    """The first row on each axis whose step nobody named, in one writer's records from their beginning."""
    axes: dict[str, Axis] = {}
    view = View()
    for frame in frames:
        if frame.kind != Kind.ROW:
            if frame.kind in _DEFINE:
                view.apply(frame)
            continue
        row = _row(frame, view.axis_names)
        if row is not None:
            advance(axes, view.axis_names, row, frame)
    return {name: axis.first for name, axis in axes.items() if axis.first is not None}


def reached_in(frames: Iterable[Frame], name: str, value: float) -> int | None:
    """The step of the first of these records that reached `value` on an axis and was not late."""
    step = NO_STEP
    for frame in frames:
        row = _row(frame, (name,)) if frame.kind == Kind.ROW and frame.step >= step else None
        found = None if row is None else row.get(name)
        if counts(found):
            step = frame.step
            if found >= value:
                return step
    return None


_DEFINE = frozenset({Kind.META, Kind.SNAPSHOT})


def _row(frame: Frame, names: Iterable[str]) -> dict[str, object] | None:
    """A row that may be on one of these axes. Most are on none: to look for the name costs less than to decode."""
    if not any(name.encode() in frame.payload for name in names):
        return None
    try:
        return codec.unpack_map(frame.payload)
    except WireError:
        return None


def _reached(ancestors: Sequence[Ancestor], axis: str, value: float, reach: Reach) -> int | None:
    for attempt_id, limit in ancestors:
        step = reach(attempt_id, axis, value)
        if step is not None and (limit is None or step < limit):
            return step
    return None


def _seq(item: tuple[str, First]) -> int:
    return item[1].seq
