"""PNG from rows of 8-bit samples, with zlib alone: for arrays where Pillow is not installed."""

from __future__ import annotations

import zlib
from struct import pack, unpack_from

_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""Samples per pixel to PNG's colour type: grey, grey and alpha, RGB, RGB and alpha."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode(width: int, height: int, samples: int, data: bytes) -> bytes:
    """A PNG of `height` rows of `width` pixels of `samples` bytes each. Raises ValueError for other sizes."""
    if samples not in _COLOURS or width < 1 or height < 1 or len(data) != width * height * samples:
        raise ValueError(f"{width}x{height} pixels of {samples} samples are no image of {len(data)} bytes")
    line = width * samples
    raw = b"".join(b"\0" + data[at : at + line] for at in range(0, len(data), line))
    header = pack(">IIBBBBB", width, height, 8, _COLOURS[samples], 0, 0, 0)
    body = zlib.compress(raw, 6)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height from the first bytes of a PNG, None for anything else."""
    if len(data) < 24 or not data.startswith(SIGNATURE):
        return None
    width, height = unpack_from(">II", data, 16)
    return width, height


def _chunk(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))
