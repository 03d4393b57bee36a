"""One writer's segments at their descriptors: looking for new records, syncing them, reading them for upload.

A look is synchronous and bounded (READ_SIZE, from the page cache), so it runs on the loop; `sync` and `collect`
are for a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from threading import Lock
from typing import NamedTuple

from respool.wire.attempt import QUARANTINE
from respool.wire.errors import UnknownVersionError
from respool.wire.frames import HEADER_SIZE, Frame, encode
from respool.wire.segment import DATA, NO_MARK, Mark, segment_name
from respoold.core.attempt import Attempt
from respoold.core.tail import READ_SIZE, Extent
from respoold.io import files, segments


class Look(NamedTuple):
    """What a look found. `more`: look again at once. `finished`: the writer is over and all of it was read."""

    frames: list[Frame]
    more: bool
    finished: bool = False


Sync = Callable[[int], None]


class Reader:
    """Owns the descriptors of one writer's segments until `close`. `own`: the folder is the daemon's. `spendable`:
    what nobody needs of it may be deleted here. `fdatasync` is there to be made to fail.
    """

    def __init__(self, attempt: Attempt, writer: int, *, own: bool, fdatasync: Sync = os.fdatasync) -> None:
        self.attempt = attempt
        self.writer = writer
        self.own = own
        self._fdatasync = fdatasync
        self.tail = attempt.tail(writer)
        self.follow_until = 0.0
        self.closing = False
        self.finished = False
        attempt.unread.add(writer)
        self.spendable = own
        self.blocked: str | None = None
        self.suspect: int | None = None
        self.durable_seq = self.tail.next_seq
        self.torn = 0
        self.shrunk = 0
        self.refusals = 0
        self.refused_since = 0.0
        self._fds: dict[int, int] = {}
        self._behind: dict[int, int] = {}
        self._foreign = False
        self._pruned = 0
        self._closing = Lock()
        self._over = False
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
        """Whether something was read that is not known to be durable, or whose mark is not. Nothing is of one that was
        closed: the hub has what it read.
        """
        if self._over:
            return False
        if self._behind:
            return True
        if self.suspect is not None:
            return False
        return self.tail.next_seq > self.durable_seq or self._mark.offset != self._marked.offset

    def look(self, now: float) -> Look:
        """Read what is new, at most READ_SIZE bytes."""
        fd = self._open(self.tail.segment)
        if fd is None or not _written(fd, self.tail.offset):
            return self._pass(fd, now)
        size = READ_SIZE
        while True:
            data = os.pread(fd, size, self.tail.offset)
            found = self.tail.feed(data, now)
            if found.frames or not found.waiting:
                return Look(found.frames, more=True)
            if found.need <= size or len(data) < size:
                return self._pass(fd, now)
            size = found.need

    def sync(self) -> int:
        """Make what was read durable; returns the seq before which everything is. Raises OSError. For a thread.

        After a failure a segment is suspect: it is not synced again, for the kernel may have dropped what it
        could not write and report success next time. Its writer is told to roll, and once its last record was
        read, all of them are written to a new file in its place.
        """
        with self._closing:
            if self._over:
                return self.durable_seq
            try:
                return self._sync_all()
            finally:
                if self._over:
                    self._close_all()

    def _sync_all(self) -> int:
        segment, seq, offset = self._position()
        for behind, end in sorted(self._behind.items()):
            self._settle(behind, end)
        if self.suspect == segment:
            return self.durable_seq
        mark = Mark((self._mark.generation or self._generation(segment)) + 1, offset, seq)
        self._sync(segment)
        self._marked, self._mark = self._mark, mark
        return seq

    def append(self, kind: int, payload: bytes, now: float) -> bool:
        """A record of the daemon's own behind the last one of a writer that has ended, `now` in seconds since the
        epoch; to be read and synced as any other. False where there is no room, or half a record already. Raises
        OSError.
        """
        fd = self._open(self.tail.segment)
        if fd is None or not self.own or self.finished or self.blocked or _written(fd, self.tail.offset):
            return False
        step = self.tail.facts.last_step
        frame = encode(kind, payload, seq=self.tail.next_seq, step=step, time=now)
        if self.tail.offset + len(frame) > os.fstat(fd).st_size:
            return False
        return os.pwrite(fd, frame, self.tail.offset) == len(frame)

    def choose(self, limit: int) -> list[Extent]:
        """The extents of the next batch: at most `limit` bytes, but one at least. They do not grow any more."""
        taken, size = list[Extent](), 0
        for extent in self.attempt.pending(self.writer):
            if taken and size + extent.size > limit:
                break
            taken.append(extent)
            size += extent.size
        if taken:
            self.tail.seal(taken[-1].next_seq)
        return taken

    def read(self, extents: list[Extent]) -> bytes:
        """The frames of some extents. For a thread."""
        return b"".join(extent.inline or self._read(extent) for extent in extents)

    def prune(self) -> list[int]:
        """Indexes of segments that are not needed any more and were not named before, oldest first; their
        descriptors are closed.
        """
        needed = self.attempt.released(self.writer)
        if not any(index < needed for index in self._fds) or not self._closing.acquire(blocking=False):
            return []
        try:
            old = sorted(index for index in self._indexes() if self._pruned <= index < needed)
            self._pruned = max(self._pruned, needed)
            for index in old:
                self._behind.pop(index, None)
                self._close(index)
        finally:
            self._closing.release()
        return old

    def rest(self) -> list[int]:
        """Indexes of the segments that `prune` did not name; all descriptors are closed."""
        self.close()
        return [index for index in self._indexes() if index >= self._pruned]

    def begin_again(self, next_seq: int, now: float) -> None:
        """Read again what is left: the hub has the records before `next_seq` only."""
        self.tail = self.attempt.begin_again(self.writer, next_seq, now)
        self.finished, self._pruned = False, 0
        self.attempt.unread.add(self.writer)
        self._mark = self._marked = NO_MARK

    def set_aside(self, next_seq: int, reason: str, now: float) -> None:
        """The hub will not take the records before `next_seq`: their bytes go to quarantine, a LOSS instead."""
        extents = [extent for extent in self.attempt.pending(self.writer) if extent.first_seq < next_seq]
        first, frames = extents[0].first_seq, self.read(extents)
        folder = os.path.join(self.attempt.directory, QUARANTINE)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        files.write_bytes(os.path.join(folder, f"refused-w{self.writer}-{first}"), frames)
        self.tail.acknowledge(next_seq)
        self.tail.insert_loss(first, next_seq, reason, now)

    def close(self) -> None:
        """Nobody reads here any more. While a thread syncs, it is that which closes: a descriptor that is closed under
        it may be another file's by the time that it writes a mark.
        """
        self._over = True
        if self._closing.acquire(blocking=False):
            try:
                self._close_all()
            finally:
                self._closing.release()

    def _close_all(self) -> None:
        for index in list(self._fds):
            self._close(index)

    def _pass(self, fd: int | None, now: float) -> Look:
        """Nothing new in this segment: is there a later one, or is this the end?"""
        ahead = self.tail.segment + 1
        known = ahead in self._fds and not self.closing
        following = [ahead] if known else [one for one in self._indexes() if one > self.tail.segment]
        later = next((one for one in following if self._has_data(one)), None)
        if self._foreign or (later is None and not self.closing):
            return Look([], more=False)
        frames = self._finish(fd, now, last=later is None) if fd is not None else []
        if fd is not None:
            self._leave()
        if later is not None:
            self.tail.advance(later)
            return Look(frames, more=True)
        self.finished = True
        self.attempt.unread.discard(self.writer)
        return Look(frames, more=False, finished=True)

    def _finish(self, fd: int, now: float, *, last: bool) -> list[Frame]:
        rest = os.fstat(fd).st_size - self.tail.offset
        end = segments.data_end(fd, self.tail.offset)
        data = os.pread(fd, end - self.tail.offset, self.tail.offset)
        found = self.tail.close(data, segments.read_mark(fd), now)
        if last and self.spendable and rest > 0 and self.suspect is None:
            # A folder that is not ours may be on a disk that is only read.
            with nullcontext() if self.own else suppress(OSError):
                self.torn += segments.cut_tail(
                    self.attempt.directory, self.writer, self.tail.segment, self.tail.offset
                )
        return found.frames

    def _position(self) -> tuple[int, int, int]:
        """Segment, seq and offset as they were together: the loop may be reading on while a thread syncs."""
        tail = self.tail
        while True:
            at = tail.segment, tail.next_seq, tail.offset
            if at == (tail.segment, tail.next_seq, tail.offset):
                return at

    def _leave(self) -> None:
        """The present segment is complete; what of it is not durable yet is the next sync's."""
        self._behind[self.tail.segment] = self.tail.offset
        self._mark = self._marked = NO_MARK

    def _sync(self, segment: int) -> None:
        fd = self._open(segment)
        if fd is None:
            return
        try:
            segments.write_mark(fd, self._mark if self.own and self._mark.generation else None)
            self._fdatasync(fd)
        except OSError:
            self.suspect = segment
            raise

    def _generation(self, segment: int) -> int:
        """Where the marks of an earlier daemon ended: a lower generation than theirs would never count."""
        fd = self._open(segment)
        return 0 if fd is None else segments.read_mark(fd).generation

    def _settle(self, segment: int, end: int) -> None:
        """Make a complete segment durable: a suspect one by writing what the page cache has to a new file."""
        fd = self._open(segment)
        if fd is not None and self.suspect != segment:
            try:
                self._fdatasync(fd)
            except OSError:
                self.suspect = segment
        if fd is not None and self.suspect == segment and self.own:
            path = os.path.join(self.attempt.directory, segment_name(self.writer, segment))
            files.write_bytes(path, os.pread(fd, end, 0))
            self._close(segment)
            self.suspect = None
        del self._behind[segment]

    def _read(self, extent: Extent) -> bytes:
        fd = self._open(extent.segment)
        return b"" if fd is None else os.pread(fd, extent.end - extent.start, extent.start)

    def _has_data(self, index: int) -> bool:
        fd = self._open(index)
        if fd is None:
            return False
        return _written(fd, DATA) or (self.closing and _had_data(fd))

    def _indexes(self) -> list[int]:
        return segments.indexes(self.attempt.directory).get(self.writer, [])

    def _open(self, index: int) -> int | None:
        if index not in self._fds:
            try:
                self._fds[index] = segments.open_existing(
                    self.attempt.directory, self.writer, index, write=self.own
                )
            except FileNotFoundError:
                return None
            except UnknownVersionError as error:
                self.blocked, self._foreign = str(error), True
                return None
        return self._fds[index]

    def _close(self, index: int) -> None:
        fd = self._fds.pop(index, None)
        if fd is not None:
            os.close(fd)


def _had_data(fd: int) -> bool:
    """Whether records were ever here: what is left of them begins later, or only the mark knows."""
    return segments.read_mark(fd).offset > DATA or any(os.pread(fd, segments.data_end(fd, DATA) - DATA, DATA))


def _written(fd: int, offset: int) -> bool:
    """Whether a frame, or its ruin, begins at `offset`: a glance, against the cost of a whole look."""
    return any(os.pread(fd, HEADER_SIZE, offset))
