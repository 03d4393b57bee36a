"""The records of one writer, out of its segments. What is damaged is passed over and told as a LOSS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from respool.spool_history import segments_of
from respool.wire import codec
from respool.wire.frames import HEADER_SIZE, NO_STEP, Frame, Kind, Stop, encode, resync, walk
from respool.wire.segment import DATA

BATCH = 4096
MAX_SEGMENT = 1 << 32
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Piece(NamedTuple):
    """Some frames, contiguous, and the bytes they are."""

    frames: list[Frame]
    raw: bytes


def pieces(directory: str, writer: int) -> Iterator[Piece]:
    """All of a writer's records in order. The first may begin after 0: the segments before it are gone. From there
    on no seq is missing: a gap is a LOSS of its own.
    """
    expected: int | None = None
    for name in segments_of(directory, writer):
        for piece in _walked(_data(os.path.join(directory, name))):
            fresh = _from(piece, expected or 0)
            if not fresh.frames:
                continue
            first = fresh.frames[0]
            if expected is not None and first.seq > expected:
                yield _loss(expected, first)
            yield fresh
            expected = fresh.frames[-1].next_seq


def _data(path: str) -> bytes:
    """A segment's bytes; none where it was removed meanwhile, or is no plain file."""
    try:
        with open(os.open(path, _READ), "rb") as file:
            return file.read(MAX_SEGMENT)
    except OSError:
        return b""


def _walked(data: bytes) -> Iterator[Piece]:
    """Runs of whole frames whose seqs follow each other."""
    at, seq = DATA, 0
    while True:
        found = walk(data, at, BATCH)
        for piece in _runs(found.frames, memoryview(data)[at : found.end]):
            seq = piece.frames[-1].next_seq
            yield piece
        at = found.end
        if found.stop is Stop.BAD:
            further = resync(data, at, seq)
            if further is None:
                return
            at = further
        elif len(found.frames) < BATCH:
            return


def _runs(frames: list[Frame], view: memoryview) -> Iterator[Piece]:
    begin = at = 0
    run: list[Frame] = []
    for frame in frames:
        if run and frame.seq != run[-1].next_seq:
            yield Piece(run, bytes(view[begin:at]))
            run, begin = [], at
        run.append(frame)
        at += HEADER_SIZE + len(frame.payload)
    if run:
        yield Piece(run, bytes(view[begin:at]))


def _from(piece: Piece, seq: int) -> Piece:
    """What of a piece comes at `seq` or later."""
    skipped = [frame for frame in piece.frames if frame.seq < seq]
    if not skipped:
        return piece
    size = sum(HEADER_SIZE + len(frame.payload) for frame in skipped)
    return Piece(piece.frames[len(skipped) :], piece.raw[size:])


def _loss(seq: int, before: Frame) -> Piece:
    span = before.seq - seq
    raw = encode(
        Kind.LOSS, codec.pack({"why": "damaged"}), seq=seq, step=NO_STEP, span=span, time=before.time
    )
    return Piece(walk(raw).frames, raw)
