"""History: one line per step along a story, or every row with its place.

Batches are read in the order of their smallest step, and a row is given out once no batch that is left can
hold a smaller or an equal step. Rows in order need the memory of the batches that overlap (those at a cut); a
writer whose every batch holds an old step costs what it asks for.

A line that holds none of the keys asked for is given out empty, so that whoever reads can stop in between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from respool.wire.frames import NO_STEP, Frame, Kind, frames
from respool_hub.service.payload import map_in
from respool_hub.service.plain_json import flat, line
from respool_hub.service.story import Story
from respool_hub.store.ports import Reader
from respool_hub.store.rows import BatchRow
from respoold.core.lineage import Visible


class Asked(NamedTuple):
    """What of a history is asked for; steps from `min_step` to `max_step`, both included."""

    keys: frozenset[str] | None = None
    min_step: int | None = None
    max_step: int | None = None

    def moved(self, by: int) -> Asked:
        """The same for steps that are greater by so many."""
        low, high = self.min_step, self.max_step
        return Asked(self.keys, None if low is None else low + by, None if high is None else high + by)


class Place(NamedTuple):
    """A row in the order of a history: step, age of its attempt, the primary last, seq, writer."""

    step: int
    attempt: int
    rank: int
    seq: int
    frame: Frame


class _Part(NamedTuple):
    batch: BatchRow
    attempt: int
    rank: int
    limit: int | None
    shift: int = 0


def merged(reader: Reader, story: Story, chain: list[Visible], asked: Asked) -> Iterator[str]:
    """Lines of JSON, one per step, keys merged; the last write wins by (attempt, primary last, seq)."""
    start = _start(story, chain)
    step: int | None = None
    row: dict[str, Any] = {}
    time = start
    for place in _in_order(reader, _parts(reader, story, chain, asked), asked):
        found = _row(place.frame)
        if found is None:
            continue
        if place.step != step and step is not None:
            yield _line(step, time, start, row, asked)
            row = {}
        step, time = place.step, place.frame.time
        row.update(found)
    if step is not None:
        yield _line(step, time, start, row, asked)


def every(reader: Reader, story: Story, only: str | None, asked: Asked) -> Iterator[str]:
    """Lines of JSON, one per row of every attempt (or of `only`), by attempt number, writer and seq. Steps are what the
    trainer counted.
    """
    limits = {visible.attempt_id: visible for visible in story.chain}
    start = _start(story, story.chain)
    for attempt in story.attempts.values():
        shown = limits.get(attempt.attempt_id)
        mine = only is None or attempt.attempt_id == only
        for writer, frame in _records(reader, attempt.attempt_id, asked) if mine else ():
            row = _row(frame) if _wanted(frame.step, asked) else None
            if row is not None:
                place = {"_attempt": attempt.number, "_writer": writer, "_seq": frame.seq}
                limit = story.limit(shown, writer) if shown else NO_STEP
                if limit is not None and frame.step >= limit:
                    place["_hidden"] = True
                yield _line(frame.step, frame.time, start, row, asked, place)


def _records(reader: Reader, attempt_id: str, asked: Asked) -> Iterator[tuple[int, Frame]]:
    for batch in reader.batches(attempt_id):
        for frame in frames(reader.batch(batch.id)) if batch.rows and _overlaps(batch, None, asked) else ():
            if frame.kind == Kind.ROW:
                yield batch.writer, frame


def own(story: Story, attempt_id: str) -> list[Visible]:
    """The chain of one attempt alone, as it was written."""
    return [Visible(attempt_id, None)] if attempt_id in story.attempts else []


def _start(story: Story, chain: Iterable[Visible]) -> float:
    times = [row.first_time for shown in chain for row in story.writers[shown.attempt_id]]
    return min((time for time in times if time is not None), default=0.0)


def _parts(reader: Reader, story: Story, chain: list[Visible], asked: Asked) -> list[_Part]:
    parts: list[_Part] = []
    for age, shown in enumerate(chain):
        primary = min((row.writer for row in story.writers[shown.attempt_id]), default=0)
        own = asked.moved(-shown.shift)
        for batch in reader.batches(shown.attempt_id):
            limit = story.limit(shown, batch.writer)
            if batch.rows and _overlaps(batch, limit, own):
                parts.append(_Part(batch, age, -abs(batch.writer - primary), limit, shown.shift))
    return sorted(parts, key=_first)


def _overlaps(batch: BatchRow, limit: int | None, asked: Asked) -> bool:
    if limit is not None and batch.min_step >= limit:
        return False
    if asked.min_step is not None and batch.max_step < asked.min_step:
        return False
    return asked.max_step is None or batch.min_step <= asked.max_step


def _in_order(reader: Reader, parts: list[_Part], asked: Asked) -> Iterator[Place]:
    waiting: list[Place] = []
    for index, part in enumerate(parts):
        waiting += _places(reader, part, asked)
        waiting.sort(key=_key)
        following = _first(parts[index + 1]) if index + 1 < len(parts) else None
        ready = len(waiting) if following is None else bisect_left(waiting, following, key=_step)
        yield from waiting[:ready]
        del waiting[:ready]


def _places(reader: Reader, part: _Part, asked: Asked) -> list[Place]:
    return [
        Place(frame.step + part.shift, part.attempt, part.rank, frame.seq, frame)
        for frame in frames(reader.batch(part.batch.id))
        if frame.kind == Kind.ROW
        and (part.limit is None or frame.step < part.limit)
        and _wanted(frame.step + part.shift, asked)
    ]


def _first(part: _Part) -> int:
    return part.batch.min_step + part.shift


def _key(place: Place) -> tuple[int, int, int, int]:
    return place[:4]


def _step(place: Place) -> int:
    return place[0]


def _wanted(step: int, asked: Asked) -> bool:
    if asked.min_step is not None and step < asked.min_step:
        return False
    return asked.max_step is None or step <= asked.max_step


def _row(frame: Frame) -> dict[str, Any] | None:
    row = map_in(frame.payload)
    return None if row is None else flat(row)


def _line(
    step: int,
    time: float,
    start: float,
    row: dict[str, Any],
    asked: Asked,
    place: dict[str, Any] | None = None,
) -> str:
    if asked.keys is not None:
        row = {key: value for key, value in row.items() if key in asked.keys}
        if not row:
            return ""
    own_keys = {"_step": step, "_timestamp": time, "_runtime": time - start}
    # Ours first, where readers look for them; written again behind the row's, which may not replace them.
    return line({**own_keys, **row, **own_keys, **(place or {})})
