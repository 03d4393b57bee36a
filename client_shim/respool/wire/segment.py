"""The segment: an append-only spool file of one writer's frames.

    offset  content
    0       magic b"RSPOOL", version u16, length u32, crc32 of all the rest of the header, then `length`
            bytes of a msgpack map: attempt_id, writer, segment, created
    512     mark slot A   {generation u64, offset u64, seq u64, crc32 u32}
    1024    mark slot B   the same; the higher generation with a good crc counts
    4096    frames, one after the other, until zeros or the end of the file

Invariants:
- one writer appends at its own offset; nothing behind `DATA` is ever changed after it was written;
- the file is fallocated and new, so what was never written reads as zeros (reused blocks would not);
- seq is contiguous within a segment and across the segments of a writer, in the order of their indexes;
- a mark says: everything before `offset` was on disk when the mark was written. It is written before a sync
  and so becomes durable with that sync, at no cost of its own, one sync late. Recovery believes it: what is
  broken before the mark is damage and is reported; what is broken behind it, with nothing whole after it, is a
  torn tail and is cut.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from respool.wire import codec
from respool.wire.errors import FormatError, UnknownVersionError
from respool.wire.shapes import build

FILE_MAGIC = b"RSPOOL"
VERSION = 1
DATA = 4096
_HEAD = Struct("<6sHII")
_SLOT = Struct("<QQQI")
_SLOTS = (512, 1024)


class SegmentHeader(NamedTuple):
    """Whose frames these are."""

    attempt_id: str
    writer: int
    segment: int
    created: float


class Mark(NamedTuple):
    """Everything before `offset` (next seq `seq`) was synced."""

    generation: int
    offset: int
    seq: int


NO_MARK = Mark(0, DATA, 0)


def encode_header(header: SegmentHeader) -> bytes:
    """The first DATA bytes of a new segment."""
    payload = codec.pack(header._asdict())
    return _seal(VERSION, payload).ljust(DATA, b"\0")


def _seal(version: int, payload: bytes) -> bytes:
    check = crc32(payload, crc32(_HEAD.pack(FILE_MAGIC, version, len(payload), 0)))
    return _HEAD.pack(FILE_MAGIC, version, len(payload), check) + payload


def decode_header(data: bytes, name: str) -> SegmentHeader:
    """Read a header. Raises UnknownVersionError for a whole header of another version, and FormatError for a
    damaged one; the frames behind a damaged header are still good: folder and file name say whose they are.
    """
    if len(data) < _HEAD.size:
        raise FormatError(f"{name}: {len(data)} bytes are too few for a segment")
    _, version, length, _ = _HEAD.unpack_from(data)
    payload = data[_HEAD.size : _HEAD.size + length]
    if length > _SLOTS[0] - _HEAD.size or _seal(version, payload) != data[: _HEAD.size + length]:
        raise FormatError(f"{name}: damaged segment header")
    if version != VERSION:
        raise UnknownVersionError(f"{name}: segment version {version}; this release reads {VERSION}")
    found: SegmentHeader = build(SegmentHeader, codec.unpack_map(payload))
    return found


def encode_mark(mark: Mark) -> tuple[int, bytes]:
    """File offset and bytes of a mark; generations alternate between the two slots."""
    body = _SLOT.pack(mark.generation, mark.offset, mark.seq, 0)[:-4]
    return _SLOTS[mark.generation % 2], body + crc32(body).to_bytes(4, "little")


def decode_mark(data: bytes) -> Mark:
    """The newest whole mark in a segment's first DATA bytes, or NO_MARK."""
    found = NO_MARK
    for at in _SLOTS:
        if len(data) < at + _SLOT.size:
            continue
        generation, offset, seq, check = _SLOT.unpack_from(data, at)
        if generation > found.generation and crc32(data[at : at + _SLOT.size - 4]) == check:
            found = Mark(generation, offset, seq)
    return found


def segment_name(writer: int, index: int) -> str:
    """File name of a segment inside its attempt's folder."""
    return f"w{writer}-{index:06d}.seg"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """(writer, index) of a segment's file name, or None for another file."""
    stem, dot, ending = name.partition(".")
    writer, dash, index = stem.partition("-")
    if ending != "seg" or not dot or not dash or writer[:1] != "w":
        return None
    if not (writer[1:].isascii() and writer[1:].isdigit() and index.isascii() and index.isdigit()):
        return None
    return int(writer[1:]), int(index)
