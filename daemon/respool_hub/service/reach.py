"""Where an attempt's rows first reached a value on an axis, found without reading all of them.

While a writer's batches are folded, samples are taken of how far it was before a batch. They are kept dense
at the end and thin out towards the beginning, because a trainer that continues from its checkpoint repeats
the last of its rows; of ten million rows some hundred samples are kept. A question is answered from the batches
between two of them. What was found once is true for good: rows come in order and none is ever changed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from respool.wire import codec
from respool.wire.axes import Axis, First, axis_of, counts
from respool.wire.frames import NO_STEP, Kind, frames
from respool.wire.identity import FIRST_JOINED
from respool_hub.service.payload import map_in
from respool_hub.store.ports import Reader
from respool_hub.store.rows import WriterRow

APART = 256
"""Records between two samples, at least."""
DENSE = 8
MOST_FOUND = 1 << 16


class Sample(NamedTuple):
    """How far a writer was before `seq`, a batch's first: per axis the greatest step and value. `number`
    counts the samples from 1.
    """

    number: int
    seq: int
    axes: dict[str, list[Any]]


def sampled(samples: list[Sample], seq: int, axes: Mapping[str, Axis]) -> list[Sample]:
    """With one more sample, before the batch that begins at `seq`, and without those too dense by now."""
    if not axes or (samples and seq - samples[-1].seq < APART):
        return samples
    number = samples[-1].number + 1 if samples else 1
    new = Sample(number, seq, {name: [axis.step, axis.greatest] for name, axis in axes.items()})
    # The n-th stays until it is 8 · 2^k samples old, 2^k being the greatest power of two that divides n.
    return [one for one in samples if number - one.number < DENSE * (one.number & -one.number)] + [new]


def keep(axes: Mapping[str, Axis], samples: Iterable[Sample]) -> dict[str, Any]:
    """What `kept` takes."""
    if not axes:
        return {}
    return {"axes": {name: axis.plain() for name, axis in axes.items()}, "samples": [*map(list, samples)]}


def kept(values: Mapping[str, Any]) -> tuple[dict[str, Axis], list[Sample]]:
    """Axes and samples from a writer's kept values."""
    axes = {name: axis_of(plain) for name, plain in values.get("axes", {}).items()}
    return axes, [Sample(*plain) for plain in values.get("samples", ())]


class _Known(NamedTuple):
    writer: int
    axes: dict[str, Axis]
    samples: list[Sample]


_NOBODY = _Known(0, {}, [])
_found: dict[tuple[str, str, int, str, float], int] = {}


class Reach:
    """What the primaries of a run's attempts say of their axes. For one look at the store."""

    def __init__(self, reader: Reader, writers: Mapping[str, list[WriterRow]]) -> None:
        self._reader = reader
        self._writers = writers
        self._known: dict[str, _Known] = {}
        self._incarnation: str | None = None

    def firsts(self, attempt_id: str) -> dict[str, First]:
        """The first row on each axis whose step the trainer did not name."""
        axes = self._of(attempt_id).axes
        return {name: axis.first for name, axis in axes.items() if axis.first is not None}

    def step(self, attempt_id: str, axis: str, value: float) -> int | None:
        """See `respoold.core.lineage.Reach`."""
        known = self._of(attempt_id)
        if axis not in known.axes or known.axes[axis].greatest < value:
            return None
        if self._incarnation is None:
            self._incarnation = self._reader.incarnation()
        key = (self._incarnation, attempt_id, known.writer, axis, value)
        if key not in _found:
            step = self._search(attempt_id, known, axis, value)
            if step is None:
                return None
            if len(_found) >= MOST_FOUND:
                _found.clear()
            _found[key] = step
        return _found[key]

    def _of(self, attempt_id: str) -> _Known:
        if attempt_id not in self._known:
            primary = next((row for row in self._writers[attempt_id] if row.writer < FIRST_JOINED), None)
            view = self._reader.view(attempt_id, primary.writer) if primary else b""
            found = kept(codec.unpack_map(view)) if view else None
            self._known[attempt_id] = _Known(primary.writer, *found) if primary and found else _NOBODY
        return self._known[attempt_id]

    def _search(self, attempt_id: str, known: _Known, name: str, value: float) -> int | None:
        axis = known.axes[name]
        seq, step = axis.since, NO_STEP
        for sample in known.samples:
            at = sample.axes.get(name)
            if at is not None and at[1] >= value:
                break
            if at is not None:
                seq, step = sample.seq, at[0]
        batches = [one for one in self._reader.batches(attempt_id) if one.writer == known.writer]
        begin = bisect_right(batches, seq, key=lambda one: one.first_seq) - 1
        for batch in batches[max(begin, 0) :]:
            for frame in frames(self._reader.batch(batch.id)) if batch.rows else ():
                if frame.kind == Kind.ROW and frame.seq >= seq and frame.step >= step:
                    found = (map_in(frame.payload) or {}).get(name)
                    if counts(found):
                        step = frame.step
                        if found >= value:
                            return step
        return None
