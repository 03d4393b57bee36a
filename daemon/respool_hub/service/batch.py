"""A body of frames: is it one, and which part of it is new. Nothing of a bad body is kept."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

from respool.wire.frames import HEADER_SIZE, NO_STEP, Frame, Kind, Stop, encode, walk
from respool_hub.service.refusal import RefusalError, refuse

MAX_SEQ = 1 << 62
MESSAGES = 64
"""Kinds from here on are messages of the socket, never records."""


class Body(NamedTuple):
    """Checked frames and the bytes they are. `packed` is the body as it will be kept if all of it is new."""

    frames: list[Frame]
    raw: bytes
    codec: str
    packed: bytes


class Extent(NamedTuple):
    """What the index of batches says of some frames."""

    rows: int
    min_step: int
    max_step: int
    min_time: float | None
    max_time: float | None


def check(raw: bytes, first_seq: int) -> list[Frame]:
    """The frames of a body that begins at `first_seq`. Raises RefusalError "bad-frames" naming the seq where
    it goes wrong; the frames before that one are good and may be sent again without it.
    """
    found = walk(raw)
    expected = first_seq
    for frame in found.frames:
        if frame.seq != expected:
            raise _bad(expected, f"seq {frame.seq} stands where {expected} belongs")
        if frame.kind >= MESSAGES:
            raise _bad(expected, f"kind {frame.kind} is no record")
        expected = frame.seq + frame.span
    if expected > MAX_SEQ:
        raise _bad(first_seq, f"seq {expected} is beyond {MAX_SEQ}")
    if found.stop is not Stop.END or found.end != len(raw):
        raise _bad(expected, f"the bytes at offset {found.end} are no whole frame")
    return found.frames


def _bad(seq: int, what: str) -> RefusalError:
    return refuse(
        "bad-frames", f"The record {seq} cannot be kept: {what}.", "Send a LOSS in its place.", seq=seq
    )


def after(body: Body, next_seq: int) -> tuple[list[Frame], bytes]:
    """The frames from `next_seq` on, and their bytes. A LOSS that begins before it is shortened: what it
    counted as lost and what is here are not counted twice.
    """
    at = 0
    for index, frame in enumerate(body.frames):
        if frame.seq >= next_seq:
            return body.frames[index:], body.raw[at:]
        size = HEADER_SIZE + len(frame.payload)
        if frame.next_seq > next_seq:
            rest = _shorten(frame, next_seq)
            tail = body.raw[at + size :]
            return [rest, *body.frames[index + 1 :]], _bytes(rest) + tail
        at += size
    return [], b""


def _shorten(frame: Frame, next_seq: int) -> Frame:
    if frame.kind != Kind.LOSS:
        raise _bad(frame.seq, f"it spans up to {frame.next_seq}, and {next_seq} is the next one here")
    return frame._replace(seq=next_seq, span=frame.next_seq - next_seq)


def _bytes(frame: Frame) -> bytes:
    return encode(
        frame.kind,
        frame.payload,
        seq=frame.seq,
        step=frame.step,
        flags=frame.flags,
        span=frame.span,
        time=frame.time,
    )


def extent(frames: list[Frame]) -> Extent:
    """Rows, their steps, and the times of all records; times that are no numbers do not count."""
    steps = [frame.step for frame in frames if frame.kind == Kind.ROW]
    times = [frame.time for frame in frames]
    low, high = min(times), max(times)
    if not (isfinite(low) and isfinite(high)):
        times = [time for time in times if isfinite(time)]
        low, high = min(times, default=0.0), max(times, default=0.0)
    return Extent(len(steps), min(steps, default=NO_STEP), max(steps, default=NO_STEP), low, high)
