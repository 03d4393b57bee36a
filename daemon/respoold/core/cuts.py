"""Where a file is cut into chunks: at the tensors of the formats that hold them, every CHUNK bytes elsewhere.

A fixed grid re-sends everything behind a byte that was inserted, and `data.pkl`, the first entry of a torch
file, grows with every step. Cutting where tensors begin and end gives the same tensor the same chunks in any
checkpoint, whether torch.save or safetensors wrote it, at the cost of reading the file's index. Content-defined
cuts cost a pass over all bytes and find less: they lose a chunk or two at each end of a tensor.

`read(offset, size)` gives bytes of the file, fewer at its end. A file that is not what it seems is cut by the
grid: a wrong cut costs only a chunk that is not shared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from struct import Struct, error
from typing import Any, NamedTuple

CHUNK = 4 << 20
"""Bytes of a chunk at most. A request costs under a millisecond of CPU; what a preemption loses is one of them."""

SMALLEST = 256 << 10
"""Tensors below this go together with their neighbours: a chunk of a kilobyte is not worth a request."""

MAX_INDEX = 64 << 20
MAX_ENTRIES = 1 << 20

_END = Struct("<4sHHHHIIH")
_END64_PLACE = Struct("<4sIQI")
_END64 = Struct("<4sQHHIIQQQQ")
_ENTRY = Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = Struct("<4sHHHHHIIIHH")
_FULL = 0xFFFFFFFF

Read = Callable[[int, int], bytes]


class Span(NamedTuple):
    """Bytes `start` to `end` of a file that hold one tensor."""

    start: int
    end: int


def chunk_sizes(read: Read, size: int) -> list[int]:
    """The sizes of a file's chunks, in order; their sum is `size`."""
    return [end - start for start, end in pairwise(_grid(_borders(_tensors(read, size), size)))]


def _borders(tensors: Iterable[Span], size: int) -> list[int]:
    borders = [0]
    for start, end in sorted(tensors):
        if end - start >= SMALLEST and start >= borders[-1] and end <= size:
            borders += [start, end]
    return sorted({*borders, size})


def _grid(borders: list[int]) -> Iterator[int]:
    for start, end in pairwise(borders):
        yield from range(start, end, CHUNK)
    if len(borders) > 1:
        yield borders[-1]


def _tensors(read: Read, size: int) -> list[Span]:
    """The tensors of a torch or safetensors file; empty for any other, and for one that only looks like it."""
    try:
        return _zip_entries(read, size) if read(0, 4) == b"PK\3\4" else _safetensors(read, size)
    except (error, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError):
        return []


def _safetensors(read: Read, size: int) -> list[Span]:
    """An 8-byte length, that many bytes of JSON with each tensor's offsets, then the tensors."""
    length = int.from_bytes(read(0, 8), "little")
    if not 2 <= length <= min(MAX_INDEX, size - 8) or read(8, 1) != b"{":
        return []
    index: dict[str, Any] = json.loads(read(8, length))
    places = (entry["data_offsets"] for name, entry in index.items() if name != "__metadata__")
    return [Span(8 + length + int(start), 8 + length + int(end)) for start, end in places]


def _zip_entries(read: Read, size: int) -> list[Span]:
    """The stored entries of a zip file, as torch writes them: each tensor is one, none is compressed."""
    start, length, count = _directory(read, size)
    if length > MAX_INDEX or count > MAX_ENTRIES:
        return []
    directory, at, spans = read(start, length), 0, list[Span]()
    for _ in range(count):
        fields = _ENTRY.unpack_from(directory, at)
        compressed, plain, name, extra, comment, local = *fields[8:13], fields[16]
        more = directory[at + _ENTRY.size + name : at + _ENTRY.size + name + extra]
        packed, place = _wide(more, plain, compressed, local)
        at += _ENTRY.size + name + extra + comment
        if fields[4] == 0 and packed >= SMALLEST:
            head = _LOCAL.unpack(read(place, _LOCAL.size))
            begin = place + _LOCAL.size + head[9] + head[10]
            spans.append(Span(begin, begin + packed))
    return spans


def _directory(read: Read, size: int) -> tuple[int, int, int]:
    """Offset, length and number of entries of a zip file's central directory."""
    tail = read(max(0, size - _END.size - 0xFFFF), _END.size + 0xFFFF)
    at = tail.rindex(b"PK\5\6")
    count, length, start = _END.unpack_from(tail, at)[4:7]
    if _FULL in {length, start} or count == 0xFFFF:
        _, _, place, _ = _END64_PLACE.unpack_from(tail, at - _END64_PLACE.size)
        count, length, start = _END64.unpack(read(place, _END64.size))[7:10]
    return start, length, count


def _wide(extra: bytes, plain: int, packed: int, local: int) -> tuple[int, int]:
    """Size and place of an entry: 64-bit ones stand in the extra field, each only where its 32 bits are full."""
    if _FULL not in {plain, packed, local}:
        return packed, local
    at = 0
    while int.from_bytes(extra[at : at + 2], "little") != 1:
        at += 4 + int.from_bytes(extra[at + 2 : at + 4], "little")
        if at >= len(extra):
            raise ValueError("no 64-bit sizes")
    at += 4
    values = []
    for value in (plain, packed, local):
        full = value == _FULL
        values.append(int.from_bytes(extra[at : at + 8], "little") if full else value)
        at += 8 * full
    return values[1], values[2]
