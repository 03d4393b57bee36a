"""One writer's segments at their descriptors: looking for new records, syncing them, reading them for upload.

A look is synchronous and bounded (READ_SIZE, from the page cache), so it runs on the loop; `sync` and `collect`
are for a thread.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from respool.wire.attempt import QUARANTINE
from respool.wire.errors import UnknownVersionError
from respool.wire.frames import Frame
from respool.wire.segment import DATA, NO_MARK, Mark, segment_name
from respoold.core.attempt import Attempt
from respoold.core.tail import READ_SIZE, Extent
from respoold.io import disk


class Look(NamedTuple):
    """What a look found. `more`: look again at once. `finished`: the writer is over and all of it was read."""

    frames: list[Frame]
    more: bool
    finished: bool = False


class Reader:
    """Owns the descriptors of one writer's segments until `close`. `own`: the folder is the daemon's."""

    def __init__(self, attempt: Attempt, writer: int, *, own: bool) -> None:
        self.attempt = attempt
        self.writer = writer
        self.own = own
        self.tail = attempt.tail(writer)
        self.follow_until = 0.0
        self.closing = False
        self.finished = False
        self.blocked: str | None = None
        self.suspect: str | None = None
        self.durable_seq = self.tail.next_seq
        self.torn = 0
        self.shrunk = 0
        self.refusals = 0
        self._fds: dict[int, int] = {}
        self._mark = NO_MARK
        self._marked: Mark = NO_MARK

    def keep(self, index: int, fd: int) -> None:
        """Take over a segment's descriptor."""
        self._fds[index] = fd

    def descriptor(self, index: int) -> int:
        """The descriptor of a segment, to be passed on. Raises FileNotFoundError when it is gone."""
        fd = self._open(index)
        if fd is None:
            raise FileNotFoundError(segment_name(self.writer, index))
        return fd

    @property
    def dirty(self) -> bool:
        """Whether something was read that is not known to be durable, or whose mark is not."""
        if self.suspect:
            return False
        return self.tail.next_seq > self.durable_seq or self._mark.offset != self._marked.offset

    def look(self, now: float) -> Look:
        """Read what is new, at most READ_SIZE bytes."""
        fd = self._open(self.tail.segment)
        if fd is None:
            return self._pass(None, now)
        size = READ_SIZE
        while True:
            data = os.pread(fd, size, self.tail.offset)
            found = self.tail.feed(data, now)
            if not found.waiting:
                return Look(found.frames, more=True)
            if found.need <= size or len(data) < size:
                break
            size = found.need
        if found.frames:
            return Look(found.frames, more=False)
        return self._pass(fd, now)

    def sync(self) -> int:
        """Make what was read durable; returns the seq before which everything is. Raises OSError.

        After a failure the segment is suspect: it is not synced again, for the kernel may have dropped what it
        could not write and report success next time. Its writer is told to roll, and when it has, all its
        records are written to a new file (`_heal`).
        """
        seq, mark = self.tail.next_seq, Mark(self._mark.generation + 1, self.tail.offset, self.tail.next_seq)
        fd = self._open(self.tail.segment)
        if fd is not None:
            disk.sync_segment(fd, self._mark if self.own and self._mark.generation else None)
        self._marked, self._mark = self._mark, mark
        return seq

    def collect(self, limit: int) -> tuple[int, bytes, list[Extent]]:
        """The next batch for the hub: first seq, bytes of at most `limit` (one extent at least), its extents."""
        pending = self.attempt.pending(self.writer)
        parts, taken, size = [], list[Extent](), 0
        for extent in pending:
            if taken and size + extent.size > limit:
                break
            parts.append(extent.inline or self._read(extent))
            taken.append(extent)
            size += extent.size
        return (taken[0].first_seq if taken else 0), b"".join(parts), taken

    def prune(self) -> list[int]:
        """Indexes of segments that can be deleted now, oldest first; their descriptors are closed."""
        needed = self.attempt.released(self.writer)
        old = sorted(index for index in self._indexes() if index < needed)
        for index in old:
            self._close(index)
        return old

    def set_aside(self, next_seq: int, reason: str, now: float) -> None:
        """The hub will not take the records before `next_seq`: their bytes go to quarantine, a LOSS instead."""
        first, frames, _ = self.collect(next_seq)
        folder = os.path.join(self.attempt.directory, QUARANTINE)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        disk.write_bytes(os.path.join(folder, f"refused-w{self.writer}-{first}"), frames)
        self.tail.acknowledge(next_seq)
        self.tail.insert_loss(first, next_seq, reason, now)

    def close(self) -> None:
        for index in list(self._fds):
            self._close(index)

    def _pass(self, fd: int | None, now: float) -> Look:
        """Nothing new in this segment: is there a later one, or is this the end?"""
        later = next((index for index in self._indexes() if index > self.tail.segment), None)
        begun = later is not None and self._has_data(later)
        if not begun and not self.closing:
            return Look([], more=False)
        frames = self._finish(fd, now, last=not begun) if fd is not None else []
        if begun and later is not None:
            self._settle()
            self.tail.advance(later)
            return Look(frames, more=True)
        self.finished = True
        return Look(frames, more=False, finished=True)

    def _finish(self, fd: int, now: float, *, last: bool) -> list[Frame]:
        rest = os.fstat(fd).st_size - self.tail.offset
        data = os.pread(fd, rest, self.tail.offset) if rest > 0 else b""
        found = self.tail.close(data, disk.read_mark(fd), now)
        if last and self.suspect:
            self._heal()
        elif last and self.own and rest > 0:
            self.torn += disk.cut_tail(
                self.attempt.directory, self.writer, self.tail.segment, self.tail.offset
            )
        return found.frames

    def _settle(self) -> None:
        """A segment is complete: its last records become durable before the reading goes on behind it."""
        try:
            if self.suspect:
                self._heal()
            else:
                self.durable_seq = max(self.durable_seq, self.sync())
        except OSError as error:
            self.blocked = f"the spool's disk failed: {error}"
        self._mark = self._marked = NO_MARK

    def _heal(self) -> None:
        """Write a suspect segment's records, which the page cache still has, to a new file in its place."""
        segment = self.tail.segment
        fd = self._open(segment)
        if fd is not None and self.own:
            data = os.pread(fd, self.tail.offset, 0)
            disk.write_bytes(os.path.join(self.attempt.directory, segment_name(self.writer, segment)), data)
            self._close(segment)
            self.durable_seq, self.suspect = self.tail.next_seq, None

    def _read(self, extent: Extent) -> bytes:
        fd = self._open(extent.segment)
        return b"" if fd is None else os.pread(fd, extent.end - extent.start, extent.start)

    def _has_data(self, index: int) -> bool:
        fd = self._open(index)
        return fd is not None and os.pread(fd, 4, DATA) not in {b"", b"\0\0\0\0"}

    def _indexes(self) -> list[int]:
        return disk.segments(self.attempt.directory).get(self.writer, [])

    def _open(self, index: int) -> int | None:
        if index not in self._fds:
            try:
                self._fds[index] = disk.open_segment(
                    self.attempt.directory, self.writer, index, write=self.own
                )
            except FileNotFoundError:
                return None
            except UnknownVersionError as error:
                self.blocked = str(error)
                return None
        return self._fds[index]

    def _close(self, index: int) -> None:
        fd = self._fds.pop(index, None)
        if fd is not None:
            os.close(fd)
