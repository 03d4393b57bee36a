"""The tail: reading one writer's segments in order, as they grow, and telling damage from what is not there yet.

Positions only move forward. What `feed` accepts was checked frame by frame (crc, contiguous seq) and becomes an
`Extent`, the unit of upload and of acknowledgement. What it does not accept is one of three things, and which
one depends on whether the segment is closed (its writer is dead, or a later segment has begun):

    open    nothing yet, or a frame half written at this moment: wait. Bytes that stay wrong for STUCK_SECONDS
            with a whole frame behind them were damaged under a living writer: skipped, with a LOSS.
    closed  a whole frame follows: what lies between is lost, with its exact count from the sequence numbers.
            None follows, but the durable mark says there were more: lost, counted by the mark.
            None follows and the mark is behind us: a torn tail, never acknowledged by a sync. It is cut.

A LOSS is derived, not stored: reading the same bytes again gives the same LOSS under the same numbers, so the
hub takes it once however often the daemon restarts.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from respool.wire import codec
from respool.wire.frames import HEADER, HEADER_SIZE, Frame, Kind, Stop, encode, resync, walk
from respool.wire.segment import DATA, Mark
from respool.wire.view import View

STUCK_SECONDS = 2.0
READ_SIZE = 256 << 10


class Extent(NamedTuple):
    """Checked frames: `segment[start:end]`, or the daemon's own `inline` bytes (a LOSS)."""

    segment: int
    start: int
    end: int
    first_seq: int
    next_seq: int
    records: int
    at: float
    inline: bytes = b""

    @property
    def size(self) -> int:
        return len(self.inline) or self.end - self.start


class Found(NamedTuple):
    """What one look at a segment gave. `waiting`: nothing more to read here now, unless `need` bytes can be
    had at once (a frame larger than the look). `torn`: from this offset on the segment's last bytes are no
    record and are to be cut.
    """

    frames: list[Frame]
    waiting: bool
    need: int = 0
    torn: int | None = None


class Start(NamedTuple):
    """Where a segment begins: what must be remembered of the ones before it when they are deleted."""

    segment: int
    seq: int
    facts: dict[str, Any]


class Tail:
    """Where the reading of one writer stands. `facts` holds what records other than rows said."""

    def __init__(self, writer: int, segment: int = 0, seq: int = 0) -> None:
        self.writer = writer
        self.segment = segment
        self.offset = DATA
        self.next_seq = seq
        self.rows = 0
        self.extents: deque[Extent] = deque()
        self.facts = View()
        self.starts: dict[int, Start] = {}
        self._sealed = 0
        self._stuck_since: float | None = None
        self._scanning: float | None = None
        self._last_time = 0.0

    def feed(self, data: bytes, now: float) -> Found:
        """Take the bytes of the present segment from `offset` on, while it is open."""
        found = walk(data)
        frames = self._accept(found.frames, now)
        if len(frames) == len(found.frames) and found.stop is Stop.END:
            self._stuck_since = None
            return Found(frames, waiting=found.end < len(data) or not data)
        if frames:
            self._stuck_since = None
            return Found(frames, waiting=False)
        need = HEADER_SIZE + HEADER.unpack_from(data)[0] if len(data) >= HEADER_SIZE else 0
        return self._stuck(data, now, need if found.stop is Stop.PARTIAL else 0)

    def close(self, data: bytes, mark: Mark, now: float) -> Found:
        """Take the rest of a closed segment, `data` being all its bytes from `offset` on."""
        start, taken = self.offset, []
        while True:
            rest = data[self.offset - start :]
            taken += self._accept(walk(rest).frames, now)
            rest = data[self.offset - start :]
            behind = resync(rest, 0, self.next_seq)
            if behind is None:
                break
            self._skip(behind, self._seq_at(rest, behind), "damaged records", now)
        if mark.offset > self.offset and mark.seq > self.next_seq:
            self._skip(mark.offset - self.offset, mark.seq, "damaged records that had been synced", now)
        torn = self.offset if data[self.offset - start :].strip(b"\0") else None
        return Found(taken, waiting=True, torn=torn)

    def advance(self, segment: int) -> None:
        """Go on with a later segment; what is missing between shows as a gap in its first seq."""
        self.segment, self.offset, self._stuck_since = segment, DATA, None
        self.starts[segment] = Start(segment, self.next_seq, self.facts.facts())

    def insert_loss(
        self, first: int, next_seq: int, reason: str, now: float, *, counted: bool = True
    ) -> None:
        """Records before all that is pending will never come: a LOSS takes their place. Not `counted` where the hub
        may have them, which then passes the LOSS over.
        """
        loss = self._loss(first, next_seq, reason, now)
        if not counted:
            self.facts.lost -= next_seq - first
        oldest = self.extents[0].segment if self.extents else self.segment
        self.extents.appendleft(loss._replace(segment=oldest))

    def seal(self, next_seq: int) -> None:
        """What lies before `next_seq` is on its way: later records go into extents of their own."""
        self._sealed = max(self._sealed, next_seq)

    def acknowledge(self, next_seq: int) -> list[Extent]:
        """The hub has everything before `next_seq`: the extents that are no longer needed."""
        done = []
        while self.extents and self.extents[0].next_seq <= next_seq:
            done.append(self.extents.popleft())
        return done

    def _accept(self, frames: list[Frame], now: float) -> list[Frame]:
        """Take frames until one is out of sequence; a gap before the first of a segment is a LOSS."""
        if frames and frames[0].seq > self.next_seq and self.offset == DATA:
            self._skip(0, frames[0].seq, "missing segment", now)
        first, start, taken = self.next_seq, self.offset, 0
        for frame in frames:
            if frame.seq != self.next_seq:
                break
            self._note(frame)
            self.next_seq += frame.span
            self.offset += HEADER_SIZE + len(frame.payload)
            taken += 1
        if taken:
            self._extend(Extent(self.segment, start, self.offset, first, self.next_seq, taken, now))
        return frames[:taken]

    def _extend(self, extent: Extent) -> None:
        last = self.extents[-1] if self.extents else None
        joins = (
            last is not None
            and last.first_seq >= self._sealed
            and (last.segment, last.end, last.inline) == (extent.segment, extent.start, b"")
        )
        if last is None or not joins or last.size + extent.size > READ_SIZE:
            self.extents.append(extent)
            return
        self.extents[-1] = last._replace(
            end=extent.end, next_seq=extent.next_seq, records=last.records + extent.records
        )

    def _note(self, frame: Frame) -> None:
        """Rows count by their header alone; only records that are rare are decoded."""
        self._last_time = frame.time
        if frame.kind != Kind.ROW:
            if frame.kind in _DECODED:
                self.facts.apply(frame)
            return
        facts = self.facts
        facts.rows += 1
        facts.last_step = max(facts.last_step, frame.step)
        if len(facts.first_steps) < 2:
            facts.first_steps.append(frame.step)

    def _stuck(self, data: bytes, now: float, need: int) -> Found:
        """Bytes that are no frame, under a writer that may still be writing them. The search for a whole frame
        behind them asks for ever more bytes within one look; without success it rests before the next.
        """
        if self._stuck_since is None:
            self._stuck_since = now
        if now - self._stuck_since < STUCK_SECONDS and now != self._scanning:
            return Found([], waiting=True, need=need)
        behind = resync(data, 0, self.next_seq)
        if behind is None:
            self._scanning = self._stuck_since = now
            return Found([], waiting=True, need=max(need, 2 * len(data)))
        self._skip(behind, self._seq_at(data, behind), "damaged records", now)
        self._stuck_since = None
        return Found([], waiting=False)

    def _skip(self, size: int, until_seq: int, reason: str, now: float) -> None:
        self.offset += size
        if until_seq > self.next_seq:
            self.extents.append(self._loss(self.next_seq, until_seq, reason, now))
            self.next_seq = until_seq

    def _loss(self, first: int, next_seq: int, reason: str, now: float) -> Extent:
        span = next_seq - first
        frame = encode(Kind.LOSS, codec.pack({"reason": reason}), seq=first, span=span, time=self._last_time)
        self.facts.lost += span
        return Extent(self.segment, 0, 0, first, next_seq, span, now, frame)

    @staticmethod
    def _seq_at(data: bytes, at: int) -> int:
        return walk(memoryview(data)[at:], 0, 1).frames[0].seq


_DECODED = frozenset({Kind.STATE, Kind.FILE, Kind.CUT, Kind.LOSS})
