"""The one writer of a trainer: every record is one frame, put into the segment by one pwrite(2).

Invariants
- `_at` is (seq, offset, descriptor) of the next frame, one immutable tuple: it moves in a single store, after
  the bytes are in the file.
- `_claim` is (the `_at` a frame was made for, the frame). While `_claim[0] is _at`, that frame is promised to
  this place: whoever writes next first writes it, again if need be. The same bytes at the same place do no
  harm twice.

So a signal handler that logs, or raises, between any two instructions here neither tears a frame nor makes two
of one seq: a handler completes what it interrupted, goes on behind it, and what it interrupted finds `_at`
moved. Nothing is queued: a nested log() too has written when it returns. Threads are kept apart by `lock`.

Room: rows stop `SEGMENT_RESERVE` bytes before the capacity and move to the spare segment. Without one they go
on in the same file as long as the disk keeps its free share. What finds no room is counted and becomes a LOSS
as soon as it can be written: records are never missing silently.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from respool import notices
from respool.errors import RecordLostError
from respool.local_quota import percent, rows_floor
from respool.wire import codec
from respool.wire.frames import BODY, HEADER_SIZE, MAGIC, NO_STEP, PREFIX, Kind
from respool.wire.limits import MAX_PAYLOAD, SEGMENT_RESERVE
from respool.wire.segment import DATA

GROWTH = 8 << 20
"""Bytes between two looks at the free space while a segment outgrows its capacity."""

_RESERVED = frozenset({Kind.LOSS, Kind.STATE, Kind.FILE, Kind.CHECKPOINT, Kind.SNAPSHOT})
_NOWHERE = (-1, -1, -1)
_body, _prefix = BODY.pack, PREFIX.pack

At = tuple[int, int, int]


class Opened(NamedTuple):
    """A segment to write to: its descriptor, which the writer closes, and its capacity in bytes."""

    fd: int
    segment: int
    capacity: int


class Supply(Protocol):
    """Where the next segment comes from."""

    def take(self, segment: int) -> Opened | None:
        """Segment number `segment`, or None when it is not there (yet). Never waits."""

    def rolled(self, segment: int) -> None:
        """The writer moved to `segment`."""

    @property
    def full(self) -> bool:
        """Whether there will be no more because the quota is used up."""

    @property
    def synced_by_daemon(self) -> bool:
        """Whether somebody else makes complete segments durable."""


class SegmentWriter:
    """Owns the segment's descriptor, the offset and the seq of one writer of one attempt.

    `snapshot` gives the payload of a SNAPSHOT frame, the first of every segment. `pwrite` and `statvfs` are
    the two doors to the disk. `lost` counts the records that became a LOSS or still wait to become one.
    `others` counts, by kind, what was written that is no row.
    """

    def __init__(
        self,
        opened: Opened,
        supply: Supply,
        snapshot: Callable[[], bytes | None],
        *,
        strict: bool = False,
        pwrite: Callable[[int, bytes, int], int] = os.pwrite,
        statvfs: Callable[[int], Any] = os.fstatvfs,
    ) -> None:
        self.lock = threading.RLock()
        self.supply = supply
        self.segment = opened.segment
        self.lost = 0
        self.others: dict[int, int] = {}
        self._snapshot = snapshot
        self._strict = strict
        self._pwrite = pwrite
        self._statvfs = statvfs
        self._floor = rows_floor()
        self._unrecorded = 0
        self._reason = ""
        self._retired: list[int] = []
        self._helped: list[tuple[At, bytes]] = []
        self._claim: tuple[At, bytes] = (_NOWHERE, b"")
        self._at: At = (0, DATA, opened.fd)
        self._capacity = opened.capacity
        self._limit = opened.capacity - SEGMENT_RESERVE
        self._grown = 0
        self._start()

    @property
    def seq(self) -> int:
        """Seq of the next record."""
        return self._at[0]

    @property
    def rows(self) -> int:
        """How many rows were written."""
        return self.seq - sum(self.others.values())

    def append(  # noqa: C901 - the hot path: every call it would be split into costs
        self, kind: int, payload: bytes, step: int = NO_STEP, flags: int = 0, now: float = 0.0, span: int = 1
    ) -> bool:
        """Write one record; the caller holds `lock`. It is in the page cache when this returns True; False: it
        was counted as lost. Never raises for the disk's sake, unless strict.
        """
        while True:
            at = self._at
            if self._claim[0] is at:
                self._complete()
                continue
            seq, offset, fd = at
            body = _body(seq, step, kind, flags, MAGIC, span, now)
            frame = _prefix(len(payload), crc32(payload, crc32(body))) + body + payload
            end = offset + len(frame)
            if end > self._limit:
                reason = self._admit(kind, len(frame))
                if reason:
                    return kind != Kind.LOSS and self._lose(reason)
                if self._at is not at:
                    continue
            self._claim = claim = (at, frame)
            if self._at is not at:
                # A signal handler wrote between the first line and the claim: before it, this frame is stale.
                if self._was_helped(claim):
                    return True
                continue
            try:
                written = self._pwrite(fd, frame, offset)
            except OSError:
                written = -1
            if written != len(frame):
                return self._write_again(claim, kind)
            if self._at is at:
                self._at = (seq + span, end, fd)
            return True

    def record(
        self, kind: int, value: dict[str, Any], *, step: int = NO_STEP, now: float | None = None
    ) -> bool:
        """Write one record of plain values, from any thread. As `append`."""
        with self.lock:
            return self.beside(kind, codec.pack(value), step, now)

    def beside(
        self, kind: int, payload: bytes, step: int = NO_STEP, now: float | None = None, span: int = 1
    ) -> bool:
        """Write one record that is no row, and count it. As `append`."""
        done = self.append(kind, payload, step, 0, time.time() if now is None else now, span)
        if done:
            self.others[kind] = self.others.get(kind, 0) + span
        return done

    def move(self, opened: Opened) -> None:
        """Go on in `opened` at once: the present segment's disk failed."""
        with self.lock:
            self._enter(opened)

    def look_again(self) -> None:
        """There may be a next segment now: move there with the next row if this one is full."""
        with self.lock:
            self._limit = min(self._limit, self._capacity - SEGMENT_RESERVE)

    def settle(self) -> None:
        """Write what is promised or counted: the last thing before the end of a segment's use."""
        with self.lock:
            if self._claim[0] is self._at:
                self._complete()
            self._record_loss(force=True)

    def sync(self) -> str | None:
        """Make every segment written here durable (fdatasync). Says what went wrong, or None."""
        with self.lock:
            fds = [*self._retired, self._at[2]]
        try:
            for fd in fds:
                os.fdatasync(fd)
        except OSError as error:
            return f"the spool could not be synced: {error.strerror}"
        return None

    def close(self) -> None:
        """Close the descriptors. Nothing may be written afterwards."""
        with self.lock:
            fds, self._retired = [*self._retired, self._at[2]], []
            self._at = (self._at[0], self._at[1], -1)
            for fd in fds:
                if fd >= 0:
                    os.close(fd)

    def forsake(self) -> None:
        """Close the descriptors in a forked child, whose other threads, and their locks, are gone."""
        self.lock = threading.RLock()
        self.close()

    def _start(self) -> None:
        payload = self._snapshot()
        self._first = DATA
        if payload is not None:
            self.beside(Kind.SNAPSHOT, payload)
        self._first = self._at[1]

    def _enter(self, opened: Opened) -> None:
        if self._claim[0] is self._at:
            self._complete()
        # The descriptor before stays open for one more segment: a pwrite that a signal interrupted may still
        # be due on it, and its number must not mean another file by then.
        while len(self._retired) > 1:
            self._close_retired(self._retired.pop(0))
        seq, _, fd = self._at
        self._retired.append(fd)
        self.segment, self._capacity, self._grown = opened.segment, opened.capacity, 0
        self._limit = 0 if self._unrecorded else opened.capacity - SEGMENT_RESERVE
        self._at = (seq, DATA, opened.fd)
        self._start()
        self.supply.rolled(opened.segment)

    def _close_retired(self, fd: int) -> None:
        if not self.supply.synced_by_daemon:
            try:
                os.fdatasync(fd)
            except OSError as error:
                notices.alarm("sync", f"the spool could not be synced: {error.strerror}.")
        os.close(fd)

    def _admit(self, kind: int, size: int) -> str:
        """Find room for a frame: empty when it may be written at the present place (or `_at` has moved to
        another one), else why not.
        """
        if size - HEADER_SIZE > MAX_PAYLOAD:
            return f"a record of {size} bytes is larger than {MAX_PAYLOAD}; save() such data as a file"
        if kind in _RESERVED:
            if kind != Kind.LOSS:
                self._record_loss()
            return ""
        reason = self._find_room(self._at[1] + size)
        # Room again: what was lost comes first. If it cannot be written, the place is still the same.
        if not reason and self._unrecorded:
            self._record_loss(force=True)
        return reason

    def _find_room(self, end: int) -> str:
        if end <= self._capacity - SEGMENT_RESERVE:
            return ""
        if self._at[1] > self._first:
            opened = self.supply.take(self.segment + 1)
            if opened is not None:
                self._enter(opened)
                return ""
            if self.supply.full:
                return "the quota for rows is used up"
        return self._grow(end)

    def _grow(self, end: int) -> str:
        if end <= self._grown:
            return ""
        try:
            disk = self._statvfs(self._at[2])
        except OSError as error:
            return f"the spool's disk does not answer: {error.strerror}"
        if disk.f_bavail * disk.f_frsize < disk.f_blocks * disk.f_frsize * self._floor + GROWTH:
            return f"less than {percent(self._floor)} of the spool's disk is free"
        self._grown = end + GROWTH
        # A first frame larger than its segment does not keep the next one from moving to the spare.
        if not self._unrecorded and self._at[1] > self._first:
            self._limit = self._grown
        return ""

    def _write_again(self, claim: tuple[At, bytes], kind: int) -> bool:
        """A write failed or was short: try once more at the same place, else count the record as lost."""
        (seq, offset, fd), frame = claim
        if fd < 0:  # Another thread finished the run while this one waited for the lock.
            return False
        try:
            written = self._pwrite(fd, frame, offset)
            reason = f"{written} of {len(frame)} bytes could be written"
        except OSError as error:
            written, reason = -1, str(error.strerror)
        if written == len(frame):
            span = BODY.unpack_from(frame, 8)[5]
            self._advance(claim, (seq + span, offset + written, fd))
            return True
        self._claim = (_NOWHERE, b"")
        self._wipe(fd, offset, len(frame))
        return kind != Kind.LOSS and self._lose(f"the spool's disk failed ({reason})")

    def _wipe(self, fd: int, offset: int, size: int) -> None:
        """Leave zeros where a torn frame may lie, in whatever part of it got its blocks."""
        with contextlib.suppress(OSError):
            self._pwrite(fd, bytes(min(size, max(os.fstat(fd).st_size - offset, 0))), offset)

    def _complete(self) -> None:
        """Write the frame that an interrupted call promised to the present place, and move behind it."""
        claim = self._claim
        at, frame = claim
        span = BODY.unpack_from(frame, 8)[5]
        try:
            written = self._pwrite(at[2], frame, at[1])
        except OSError:
            written = -1
        if written == len(frame):
            self._advance(claim, (at[0] + span, at[1] + written, at[2]))
            self._helped = [*self._helped[-15:], claim]
        elif self._write_again(claim, frame[24]):
            self._helped = [*self._helped[-15:], claim]

    def _advance(self, claim: tuple[At, bytes], after: At) -> None:
        if self._at is claim[0]:
            self._at = after

    def _was_helped(self, claim: tuple[At, bytes]) -> bool:
        return any(one is claim for one in self._helped)

    def _lose(self, reason: str) -> bool:
        self.lost += 1
        self._unrecorded += 1
        self._reason = reason
        self._limit = 0
        self._record_loss()
        notices.alarm("loss", f"records are being dropped, counted as LOSS: {reason}.")
        if self._strict:
            raise RecordLostError(f"A record could not be kept: {reason}. Free space, or log less.")
        return False

    def _record_loss(self, *, force: bool = False) -> None:
        """Turn the count into a LOSS frame. Without `force` only when it has doubled since the last one, so
        that the reserve lasts for any number of losses.
        """
        count = self._unrecorded
        if not count or not (force or 2 * count >= self.lost):
            return
        self._unrecorded = 0
        payload = codec.pack({"reason": self._reason[:500]})
        if self.beside(Kind.LOSS, payload, span=count):
            self._limit = max(self._capacity - SEGMENT_RESERVE, self._grown)
        else:
            self._unrecorded += count
