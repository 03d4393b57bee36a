"""What is stored as bytes: batches, in zstd where it pays, and maps of anything, in msgpack."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import zstandard

from respool.wire import codec

LEVEL = 1
WORTH = 0.9
SMALL = 512


class PackingError(ValueError):
    """The bytes are not zstd, or come to more than they may."""


class TooLargeError(PackingError):
    """They come to more than they may."""


class Packed(NamedTuple):
    """`codec` is "" or "zstd"."""

    codec: str
    data: bytes


class _Tools(threading.local):
    # A zstd context serves one thread at a time, and making one costs more than a small batch.
    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(level=LEVEL)
        self.unpack = zstandard.ZstdDecompressor()


_tools = _Tools()


def pack(data: bytes) -> Packed:
    """`data` as it is best kept."""
    if len(data) < SMALL:
        return Packed("", data)
    packed = _tools.pack.compress(data)
    return Packed("zstd", packed) if len(packed) < WORTH * len(data) else Packed("", data)


def pack_map(values: dict[str, Any]) -> bytes:
    """A map that came in as msgpack. The unpacker goes deeper than the packer does: what is nested deeper than
    `codec.MAX_DEPTH` then ends in "...".
    """
    try:
        return codec.pack(values)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return codec.pack(codec.plain(values, _unheard))


def _unheard(_: str) -> None:
    """The user was told when the value was logged."""


def unpack(packing: str, data: bytes, limit: int) -> bytes:
    """The bytes that were packed: one zstd frame, nothing behind it. Raises PackingError.

    Reads a stream: the one-call form allocates whatever size the frame's header claims.
    """
    if packing != "zstd":
        return data
    engine = _tools.unpack.decompressobj()
    parts, size = [], 0
    try:
        for start in range(0, len(data), 1 << 16):
            parts.append(engine.decompress(data[start : start + (1 << 16)]))
            size += len(parts[-1])
            if size > limit:
                raise TooLargeError(f"zstd body of more than {limit} bytes")
    except (zstandard.ZstdError, EOFError) as error:
        raise PackingError(f"body is not zstd: {error}") from error
    if not engine.eof or engine.unused_data:
        raise PackingError("body is not one whole zstd frame")
    return b"".join(parts)
