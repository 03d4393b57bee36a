"""What lies beside the rows: console lines, system samples, lists of packages; of every attempt, as it came.

A batch that is all rows is never read for it: its index says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from respool.wire.frames import NO_STEP, Frame, Kind, frames
from respool_hub.service.payload import map_in
from respool_hub.service.plain_json import clean, line
from respool_hub.service.story import Story
from respool_hub.store.ports import Reader
from respool_hub.store.rows import BatchRow

KINDS = {"console": Kind.CONSOLE, "system": Kind.SYSTEM, "packages": Kind.META}


def beside(reader: Reader, story: Story, kind: str, only: str | None, last: int | None) -> Iterator[str]:
    """Lines of JSON, by attempt number, writer and seq: of every attempt or of `only`, all or the `last` ones.
    A batch that holds none gives an empty line, so that whoever reads can stop in between.
    """
    if last is None:
        for attempt_id in _attempts(story, only):
            for batch in reader.batches(attempt_id):
                yield from _lines(reader, story, batch, kind) or ("",)
        return
    found: list[str] = []
    for attempt_id in reversed(_attempts(story, only)):
        for batch in reversed(reader.batches(attempt_id)):
            if len(found) >= last:
                break
            found = [*_lines(reader, story, batch, kind), *found]
    yield from found[-last:]


def _attempts(story: Story, only: str | None) -> list[str]:
    return [key for key in story.attempts if only is None or key == only]


def _lines(reader: Reader, story: Story, batch: BatchRow, kind: str) -> list[str]:
    if batch.next_seq - batch.first_seq == batch.rows:
        return []
    number = story.attempts[batch.attempt_id].number
    found = []
    for frame in frames(reader.batch(batch.id)):
        value = _value(frame, kind)
        if value is not None:
            place = {"_attempt": number, "_writer": batch.writer, "_seq": frame.seq, "_timestamp": frame.time}
            if frame.step != NO_STEP:
                place["_step"] = frame.step
            found.append(line({**place, **clean(value), **place}))
    return found


def _value(frame: Frame, kind: str) -> dict[str, Any] | None:
    if frame.kind != KINDS[kind]:
        return None
    value = map_in(frame.payload)
    if kind == "packages":
        return {"packages": value["packages"]} if value and "packages" in value else None
    return value
