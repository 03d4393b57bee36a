"""What a writer's records amount to: `respool.wire.view.View`, kept between batches.

The hub has every record, or a LOSS in its place. So a SNAPSHOT, which sums up what came before it, tells
nothing new of rows; what it holds of summary and last step is taken only where that came before and is not
here: behind a LOSS, and at the start of an attempt that continues nothing. Otherwise a child's snapshot would
bring back the ancestors' rows that its cut hides.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from respool.wire import codec
from respool.wire.frames import NO_STEP, Frame, Kind
from respool.wire.summing import ways_of
from respool.wire.view import View
from respool_hub.service import reach
from respool_hub.service.payload import map_in, map_of, names_in
from respool_hub.store.packing import pack_map
from respool_hub.store.rows import WriterRow


class Fold:
    """One writer's fold. `root`: the attempt continues none that is known here. `limit`: rows from this step
    on are hidden (None: none are). `assigned`: summary keys that were set or unset by hand. `whole`: behind
    a LOSS the summary began again as a snapshot of more than this writer's rows.
    """

    def __init__(self, row: WriterRow, kept: bytes = b"", *, root: bool, limit: int | None = None) -> None:
        self.row = row
        self.view = View()
        self.assigned: set[str] = set()
        self.unset: set[str] = set()
        self.whole = False
        self.samples: list[reach.Sample] = []
        self._root = root
        self._limit = limit
        self._load(kept)

    def take(self, frames: list[Frame]) -> None:
        """Apply frames."""
        view, special = self.view, _SPECIAL
        if frames and self._limit is None:
            self.samples = reach.sampled(self.samples, frames[0].seq, view.axes)
        apply = view.apply
        for frame in frames:
            if frame.kind in special:
                special[frame.kind](self, frame)
            elif self._limit is None or frame.step < self._limit:
                known = view.rows
                apply(frame)
                if view.rows == known and frame.kind == Kind.ROW:
                    view.lost += 1  # kept, but nobody can read it: it must not vanish in silence

    def _load(self, kept: bytes) -> None:
        view, row = self.view, self.row
        values = codec.unpack_map(kept) if kept else {}
        view.config = values.get("config", {})
        view.about = values.get("about", {})
        view.summary = values.get("summary", {})
        view.take_meta(values.get("meta", {}))
        view.axes, self.samples = reach.kept(values)
        self.assigned = set(values.get("assigned", ()))
        self.unset = set(values.get("unset", ()))
        self.whole = values.get("whole") is True
        view.firsts = map_of(values.get("firsts"))
        view.rows, view.lost, view.last_step = row.rows, row.lost, row.last_step
        view.first_steps, view.cut, view.named = list(row.steps), row.cut, row.named

    def dump(self) -> bytes:
        """What `kept` takes."""
        view = self.view
        values = {
            "config": view.config,
            "summary": view.summary,
            "meta": view.meta,
            "assigned": sorted(self.assigned),
            "unset": sorted(self.unset),
            **({"about": view.about} if view.about else {}),
            **({"firsts": view.firsts} if view.firsts else {}),
            **({"whole": True} if self.whole else {}),
            **reach.keep(view.axes, self.samples),
        }
        return pack_map(values)

    def written(self, next_seq: int, first_time: float | None) -> WriterRow:
        """The writer's row after these frames."""
        view, row = self.view, self.row
        time = row.first_time if row.first_time is not None else first_time
        return row._replace(
            next_seq=next_seq,
            rows=view.rows,
            lost=view.lost,
            last_step=view.last_step,
            steps=tuple(view.first_steps),
            cut=view.cut,
            first_time=time,
            named=view.named,
        )

    def _summary(self, frame: Frame) -> None:
        value = map_in(frame.payload)
        if value is not None and (self._limit is None or frame.step < self._limit):
            self.assigned.update(names_in(value.get("set")), names_in(value.get("unset")))
            self.view.apply(frame)

    def _config(self, frame: Frame) -> None:
        value = map_in(frame.payload)
        if value is not None:
            self.unset.update(names_in(value.get("unset")))
            self.unset.difference_update(names_in(value.get("set")))
            self.view.apply(frame)

    def _snapshot(self, frame: Frame) -> None:
        value = map_in(frame.payload)
        if value is None:
            return
        view, step = self.view, value.get("last_step")
        view.config = dict(map_of(value.get("config")))
        view.take_meta(dict(map_of(value.get("meta"))))
        hidden = self._limit is not None and isinstance(step, int) and step >= self._limit
        if hidden or not (view.lost or (self._root and frame.seq == 0)):
            return
        view.summary = dict(map_of(value.get("summary")))
        self.whole = bool(view.lost)
        if self.row.writer and not self.whole:
            self._leave_means()
        if isinstance(step, int) and NO_STEP <= step < -NO_STEP:
            view.last_step = max(view.last_step, step)

    def _leave_means(self) -> None:
        """Who joins begins with what the others had added up: it is in their folds, and would count twice."""
        view, metrics = self.view, map_of(self.view.meta.get("metrics"))
        for key in [
            key for key in view.summary if "mean" in ways_of(map_of(metrics.get(key)).get("summary"))
        ]:
            del view.summary[key]

    def _always(self, frame: Frame) -> None:
        self.view.apply(frame)

    def _file(self, frame: Frame) -> None:
        """Files count when they are committed, not when they are announced."""

    def _cut(self, frame: Frame) -> None:
        step = (map_in(frame.payload) or {}).get("step")
        if isinstance(step, int) and NO_STEP < step < -NO_STEP:
            self.view.apply(frame)


_SPECIAL: dict[int, Callable[[Fold, Frame], None]] = {
    Kind.SUMMARY: Fold._summary,
    Kind.CONFIG: Fold._config,
    Kind.SNAPSHOT: Fold._snapshot,
    Kind.META: Fold._always,
    Kind.STATE: Fold._always,
    Kind.LOSS: Fold._always,
    Kind.CUT: Fold._cut,
    Kind.FILE: Fold._file,
}


def finite(time: float) -> float | None:
    """A time that can be kept, or None."""
    return time if math.isfinite(time) else None
