"""The frame: the one unit of everything respool writes, keeps and sends.

A frame is a 40-byte little-endian header and a msgpack payload:

    offset  size  field
    0       4     length   bytes of payload; 0 in a segment means "no data yet"
    4       4     crc32    zlib.crc32 over header[8:40] and payload
    8       8     seq      position in its writer's sequence, from 0; in a message, the request it belongs to
    16      8     step     training step of a row, NO_STEP where there is none
    24      1     kind     what it is (`Kind`); below 64 a record, from 64 a message
    25      1     flags    EXPLICIT_STEP: the caller named the step
    26      2     magic    0xC0F5, found by bytes.find() when a damaged frame must be skipped
    28      4     span     how many sequence numbers it stands for: 1, or the count of a LOSS; in a message,
                           the number of descriptors that travel with it
    32      8     time     seconds since the epoch, by the writer's clock: shown, never used to order

The same bytes are written by `log()`, lie in the segment and go to the hub; nobody re-encodes them.
The next record's seq is always `seq + span`, which is how a gap is noticed and how a LOSS closes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from respool.wire.limits import MAX_PAYLOAD

HEADER = Struct("<IIQqBBHId")
PREFIX = Struct("<II")
BODY = Struct("<QqBBHId")
HEADER_SIZE = HEADER.size
MAGIC = 0xC0F5
MAGIC_BYTES = MAGIC.to_bytes(2, "little")
MAGIC_OFFSET = 26
NO_STEP = -(1 << 63)
EXPLICIT_STEP = 1


class Kind(IntEnum):
    """What a frame is. Unknown kinds are kept, counted and passed on: a newer shim may know them."""

    ROW = 1
    CONFIG = 2
    SUMMARY = 3
    CONSOLE = 4
    SYSTEM = 5
    STATE = 6
    CUT = 7
    FILE = 8
    LOSS = 9
    SNAPSHOT = 10
    META = 11
    CHECKPOINT = 12


class Frame(NamedTuple):
    """One whole, checked frame. `payload` is msgpack, not yet decoded."""

    seq: int
    step: int
    kind: int
    flags: int
    span: int
    time: float
    payload: bytes

    @property
    def next_seq(self) -> int:
        return self.seq + self.span


def encode(
    kind: int,
    payload: bytes,
    *,
    seq: int,
    step: int = NO_STEP,
    flags: int = 0,
    span: int = 1,
    time: float = 0.0,
) -> bytes:
    """The bytes of one frame."""
    body = BODY.pack(seq, step, kind, flags, MAGIC, span, time)
    return PREFIX.pack(len(payload), crc32(payload, crc32(body))) + body + payload


class Stop(IntEnum):
    """Why a walk over frames ended."""

    END = 0
    """At zeros or at the end of the data: nothing more was written."""
    PARTIAL = 1
    """A frame begins here whose end is not in the data."""
    BAD = 2
    """The bytes here are no frame: torn, damaged or hostile."""


class Walk(NamedTuple):
    """What `walk` found: whole frames in `data[start:end]`, and what stopped it."""

    frames: list[Frame]
    end: int
    stop: Stop


def walk(
    data: bytes | bytearray | memoryview, start: int = 0, limit: int = 1 << 62, largest: int = MAX_PAYLOAD
) -> Walk:
    """Read whole frames from `start` on, at most `limit` of them, with payloads of at most `largest` bytes.

    Total cost is about a microsecond a frame, so a caller on an event loop passes a limit.
    """
    view = memoryview(data)
    size, at, found = len(view), start, list[Frame]()
    unpack, crc = HEADER.unpack_from, crc32
    while len(found) < limit:
        if size - at < HEADER_SIZE:
            return Walk(found, at, Stop.PARTIAL if any(view[at:]) else Stop.END)
        length, check, seq, step, kind, flags, magic, span, time = unpack(view, at)
        if magic != MAGIC or length > largest or not length:
            return Walk(found, at, Stop.BAD if any(view[at : at + HEADER_SIZE]) else Stop.END)
        end = at + HEADER_SIZE + length
        if end > size:
            return Walk(found, at, Stop.PARTIAL)
        if crc(view[at + 8 : end]) != check or not span:
            return Walk(found, at, Stop.BAD)
        found.append(Frame(seq, step, kind, flags, span, time, bytes(view[at + HEADER_SIZE : end])))
        at = end
    return Walk(found, at, Stop.END)


def frames(data: bytes | memoryview) -> Iterator[Frame]:
    """Every frame of a batch that was checked before, in order."""
    return iter(walk(data).frames)


def resync(data: bytes | memoryview, start: int, after_seq: int) -> int | None:
    """Offset of the next whole frame at or behind `start` whose seq is at least `after_seq`, or None.

    Used behind damage only. A payload that contains the bytes of a frame can mislead it; what it then finds
    was written by the same writer, so nobody deceives anyone but himself.
    """
    raw = bytes(data)  # the same object when it is bytes already
    at = raw.find(MAGIC_BYTES, start + MAGIC_OFFSET)
    while at >= 0:
        begin = at - MAGIC_OFFSET
        one = walk(memoryview(raw)[begin:], 0, 1)
        if one.frames and one.frames[0].seq >= after_seq:
            return begin
        at = raw.find(MAGIC_BYTES, at + 1)
    return None
