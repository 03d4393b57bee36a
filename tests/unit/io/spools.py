"""Small spools made byte by byte, ways to damage them, and what a reading of them gave."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from respool.wire import codec
from respool.wire.attempt import QUARANTINE, AttemptFile
from respool.wire.frames import NO_STEP, Frame, Kind, encode, walk
from respool.wire.segment import (
    DATA,
    Mark,
    SegmentHeader,
    decode_mark,
    encode_header,
    encode_mark,
    segment_name,
)
from respoold.core.attempt import Attempt
from respoold.io.reader import Reader

ATTEMPT_ID = "ab" * 16
REQUEST = {"project": "p", "run_id": "r", "original_id": "r", "incarnation": "i"}


class Record(NamedTuple):
    """A frame as it was written: `segment[start:end]` is `raw`."""

    segment: int
    start: int
    end: int
    seq: int
    raw: bytes


class Spool(NamedTuple):
    """The segments of one writer as they were left, and what is in them."""

    segments: list[bytes]
    records: list[Record]


class Reading(NamedTuple):
    """What was made of a spool: the frames for the hub in order, and the quarantine's files."""

    frames: list[Frame]
    raw: bytes
    torn: list[bytes]
    reader: Reader

    @property
    def lost(self) -> set[int]:
        return {
            seq
            for frame in self.frames
            if frame.kind == Kind.LOSS
            for seq in range(frame.seq, frame.next_seq)
        }

    @property
    def delivered(self) -> dict[int, bytes]:
        return {frame.seq: bytes_of(frame) for frame in self.frames if frame.kind != Kind.LOSS}


def bytes_of(frame: Frame) -> bytes:
    rest = frame._asdict()
    return encode(rest.pop("kind"), rest.pop("payload"), **rest)


def a_row(seq: int, size: int = 0) -> bytes:
    return encode(Kind.ROW, codec.pack({"n": seq, "x": "y" * size}), seq=seq, step=seq, time=float(seq))


def a_snapshot(seq: int) -> bytes:
    snapshot = {"config": {"lr": 1}, "summary": {}, "meta": {}, "last_step": None}
    return encode(Kind.SNAPSHOT, codec.pack(snapshot), seq=seq, step=NO_STEP, time=float(seq))


def a_spool(sizes: Sequence[Sequence[int]], synced: Sequence[int], room: int = 64) -> Spool:
    """One segment for each of `sizes`, which holds a snapshot and rows with so many bytes of text; of each the
    first `synced` records lie before its mark. `room` zeros follow, as in a fallocated file.
    """
    segments, records, seq = list[bytes](), list[Record](), 0
    for index, (rows, marked) in enumerate(zip(sizes, synced, strict=True)):
        body, mark = b"", None
        for number in range(len(rows) + 1):
            raw = a_row(seq, rows[number - 1]) if number else a_snapshot(seq)
            start = DATA + len(body)
            records.append(Record(index, start, start + len(raw), seq, raw))
            body, seq = body + raw, seq + 1
            if number + 1 == marked:
                mark = Mark(4, DATA + len(body), seq)
        page = bytearray(encode_header(SegmentHeader(ATTEMPT_ID, 0, index, 1.0)))
        if mark is not None:
            at, data = encode_mark(mark)
            page[at : at + len(data)] = data
        segments.append(bytes(page) + body + bytes(room))
    return Spool(segments, records)


@contextmanager
def a_folder() -> Iterator[str]:
    """An attempt's folder; in memory where there is such a place, for these tests sync thousands of files."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield folder


def lay(folder: str, segments: Sequence[bytes | None]) -> None:
    """Write the segments; None is one that is missing."""
    shutil.rmtree(os.path.join(folder, QUARANTINE), ignore_errors=True)
    for index, data in enumerate(segments):
        path = os.path.join(folder, segment_name(0, index))
        if data is None:
            if os.path.exists(path):
                os.unlink(path)
            continue
        with open(path, "wb") as file:
            file.write(data)


def an_attempt(folder: str, **more: Any) -> Attempt:
    return Attempt(AttemptFile(ATTEMPT_ID, REQUEST, os.getuid()), folder, **more)


def read(folder: str, *, own: bool = True, attempt: Attempt | None = None) -> Reading:
    """Read a dead writer's segments to their end, as a daemon that starts does."""
    reader = Reader(attempt or an_attempt(folder), 0, own=own)
    reader.closing = True
    for turn in range(10_000):
        look = reader.look(float(turn))
        if not look.more:
            break
    else:
        raise AssertionError("the reading came to no end")
    raw = reader.read(reader.attempt.pending(0))
    reading = Reading(walk(raw).frames, raw, quarantined(folder), reader)
    reader.close()
    return reading


def quarantined(folder: str) -> list[bytes]:
    found = []
    place = os.path.join(folder, QUARANTINE)
    for name in sorted(os.listdir(place)) if os.path.isdir(place) else []:
        with open(os.path.join(place, name), "rb") as file:
            found.append(file.read())
    return found


def check(spool: Spool, damaged: Sequence[bytes | None], reading: Reading) -> None:
    """Promise P4, word by word. `damaged` are the segments as they were when the reading began."""
    whole = {record.seq for record in spool.records if stands(record, damaged)}
    known = max([-1, *whole, *[record.seq for record in spool.records if synced(record, damaged)]])
    counted = {record.seq for record in spool.records if record.seq <= known} - whole
    assert sum(len(bytes_of(frame)) for frame in reading.frames) == len(reading.raw)
    assert reading.delivered == {record.seq: record.raw for record in spool.records if record.seq in whole}
    assert reading.lost == counted
    seqs = [(frame.seq, frame.next_seq) for frame in reading.frames]
    assert [first for first, _ in seqs] == [0, *[after for _, after in seqs[:-1]]][: len(seqs)]
    assert reading.reader.tail.facts.lost == len(counted)


def stands(record: Record, segments: Sequence[bytes | None]) -> bool:
    data = segments[record.segment]
    return data is not None and data[record.start : record.end] == record.raw


def synced(record: Record, segments: Sequence[bytes | None]) -> bool:
    data = segments[record.segment]
    return data is not None and record.end <= decode_mark(data[:DATA]).offset
