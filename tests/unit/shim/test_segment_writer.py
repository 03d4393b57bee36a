"""The writer alone: room, failing disks, signals in the middle, threads."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
import threading

import pytest

from respool import notices
from respool.errors import RecordLostError
from respool.segment_writer import Opened, SegmentWriter
from respool.wire import codec
from respool.wire.frames import NO_STEP, Kind, walk
from respool.wire.limits import MAX_PAYLOAD, SEGMENT_RESERVE
from respool.wire.segment import DATA


class Shelf:
    """A Supply with as many segments as were put on it. Each is a file of its own; `paths` has them all."""

    def __init__(self, folder, capacity=1 << 20, segments=1):
        self.folder, self.capacity = folder, capacity
        self.left = segments
        self.full = False
        self.synced_by_daemon = True
        self.moves = []

    def open(self, segment):
        fd = os.open(self.path(segment), os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(fd, 0, self.capacity)
        return Opened(fd, segment, self.capacity)

    def path(self, segment):
        return os.path.join(self.folder, f"{segment}.seg")

    def take(self, segment):
        if not self.left:
            return None
        self.left -= 1
        return self.open(segment)

    def rolled(self, segment):
        self.moves.append(segment)

    def frames(self):
        found = []
        for name in sorted(os.listdir(self.folder)):
            with open(os.path.join(self.folder, name), "rb") as file:
                found += walk(file.read(), DATA).frames
        return found


class Disk:
    """pwrite with knobs: `failures` raise that errno, `short` writes only so many bytes, `before` and `after`
    are called around the next write only."""

    def __init__(self):
        self.failures = []
        self.short = []
        self.before = self.after = None
        self.free = 1 << 40

    def pwrite(self, fd, data, offset):
        before, self.before = self.before, None
        if before:
            before()
        if self.failures:
            code = self.failures.pop(0)
            if code:
                raise OSError(code, os.strerror(code))
        written = os.pwrite(fd, data[: self.short.pop(0)] if self.short else data, offset)
        after, self.after = self.after, None
        if after:
            after()
        return written

    def statvfs(self, fd):
        class Answer:
            f_frsize, f_blocks, f_bavail = 1, 1 << 40, self.free

        return Answer


def snapshot():
    return codec.pack({"config": {}, "summary": {}, "meta": {}, "last_step": None})


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def shelf(tmp_path):
    (tmp_path / "shelf").mkdir()
    return Shelf(str(tmp_path / "shelf"))


@pytest.fixture
def writer(shelf, disk):
    made = SegmentWriter(shelf.open(0), shelf, snapshot, pwrite=disk.pwrite, statvfs=disk.statvfs)
    yield made
    made.close()


def row(writer, number, size=0):
    with writer.lock:
        return writer.append(Kind.ROW, codec.pack({"n": number, "x": "x" * size}), number, 0, 1.0)


def numbers(shelf):
    return [codec.unpack(frame.payload)["n"] for frame in shelf.frames() if frame.kind == Kind.ROW]


def contiguous(frames):
    return all(after.seq == before.next_seq for before, after in itertools.pairwise(frames))


def losses(shelf):
    return [frame.span for frame in shelf.frames() if frame.kind == Kind.LOSS]


def test_one_failed_write_is_tried_again_and_nothing_is_lost(writer, disk, shelf):
    disk.failures = [errno.EIO]
    assert row(writer, 0)
    assert numbers(shelf) == [0]
    assert not losses(shelf)


def test_a_short_write_is_written_again_at_the_same_place(writer, disk, shelf):
    disk.short = [17]
    assert row(writer, 0)
    assert row(writer, 1)
    assert numbers(shelf) == [0, 1]
    assert contiguous(shelf.frames())


def test_a_row_that_finds_no_room_is_counted_and_the_count_written_first_when_there_is_room(
    writer, disk, shelf, capsys
):
    row(writer, 0)
    # Row and its second try, the wiping, and the LOSS twice and its wiping, for each of three rows.
    disk.failures = [errno.ENOSPC] * 40
    for number in (1, 2, 3):
        assert not row(writer, number)
    assert writer.lost == 3
    disk.failures = []
    assert row(writer, 4)
    frames = shelf.frames()
    assert [frame.kind for frame in frames] == [Kind.SNAPSHOT, Kind.ROW, Kind.LOSS, Kind.ROW]
    assert losses(shelf) == [3]
    assert contiguous(frames)
    assert codec.unpack(frames[2].payload)["reason"].startswith("the spool's disk failed (No space left")
    assert capsys.readouterr().err.count("WARNING") == 1


def test_a_torn_frame_of_a_full_disk_leaves_nothing_behind(writer, disk, shelf):
    disk.short = [30, 30]
    assert not row(writer, 0, size=500)
    assert row(writer, 1)
    frames = shelf.frames()
    assert [frame.kind for frame in frames] == [Kind.SNAPSHOT, Kind.LOSS, Kind.ROW]
    with open(shelf.path(0), "rb") as file:
        assert walk(file.read(), DATA).stop == 0


def test_strict_raises_what_else_is_counted(shelf, disk):
    writer = SegmentWriter(
        shelf.open(0), shelf, snapshot, strict=True, pwrite=disk.pwrite, statvfs=disk.statvfs
    )
    disk.failures = [errno.ENOSPC] * 2
    with pytest.raises(RecordLostError, match="No space left on device"):
        row(writer, 0)
    assert row(writer, 1)
    assert contiguous(shelf.frames())
    assert losses(shelf) == [1]
    writer.close()


def test_a_record_too_large_for_a_frame_becomes_a_loss_and_the_next_one_is_kept(writer, shelf):
    assert not row(writer, 0, size=MAX_PAYLOAD)
    assert row(writer, 1)
    assert losses(shelf) == [1]
    assert numbers(shelf) == [1]


def test_a_record_larger_than_a_segment_is_kept_and_the_next_moves_on(writer, shelf):
    assert row(writer, 0, size=3 << 20)
    assert row(writer, 1)
    assert numbers(shelf) == [0, 1]
    assert shelf.moves == [1]


def test_rows_leave_the_reserve_to_what_explains(writer, shelf):
    shelf.left, shelf.full = 0, True
    for number in range(40):
        row(writer, number, size=50_000)
    assert 0 < writer._at[1] <= shelf.capacity
    end = sum(len(frame.payload) + 40 for frame in shelf.frames() if frame.kind == Kind.ROW)
    assert DATA + end <= shelf.capacity - SEGMENT_RESERVE
    assert writer.record(Kind.STATE, {"state": "ended"})
    writer.settle()
    assert sum(losses(shelf)) == writer.lost == 40 - len(numbers(shelf))


def test_a_million_losses_fit_into_the_reserve(writer, shelf):
    shelf.left, shelf.full = 0, True
    while not writer.lost:
        row(writer, 0, size=100_000)
    for number in range(5000):
        row(writer, number, size=100_000)
    writer.settle()
    assert sum(losses(shelf)) == writer.lost > 5000
    assert len(losses(shelf)) < 20


@pytest.mark.parametrize(("floor", "free"), [(None, 0.05), ("20%", 0.10), ("0.001", 0.0005)])
def test_without_a_spare_it_goes_on_until_the_disk_has_half_the_floor_left(
    disk, shelf, monkeypatch, capsys, floor, free
):
    monkeypatch.delenv("RESPOOL_FREE_FLOOR")
    if floor is not None:
        monkeypatch.setenv("RESPOOL_FREE_FLOOR", floor)
    writer = SegmentWriter(shelf.open(0), shelf, snapshot, pwrite=disk.pwrite, statvfs=disk.statvfs)
    shelf.left = 0
    for number in range(30):
        assert row(writer, number, size=100_000)
    disk.free = int((1 << 40) * free * 1.01)
    for number in range(30, 60):
        assert row(writer, number, size=100_000), "still above it"
    disk.free = int((1 << 40) * free * 0.99)
    kept = 60
    while row(writer, kept, size=1_000_000):
        kept += 1
    assert kept < 90
    assert f"less than {100 * free:g}% of the spool's disk is free" in capsys.readouterr().err
    disk.free = 1 << 40
    assert row(writer, 99)
    assert numbers(shelf)[-1] == 99
    assert sum(losses(shelf)) == writer.lost == 1
    writer.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_log_from_a_signal_handler_in_the_middle_of_a_write_is_whole_and_in_order(
    writer, disk, shelf, when
):
    setattr(disk, when, lambda: row(writer, 100))
    assert row(writer, 0)
    assert row(writer, 1)
    frames = shelf.frames()
    assert contiguous(frames)
    assert numbers(shelf) == [0, 100, 1]


def test_a_handler_that_ends_the_process_has_written_what_it_logged(writer, disk, shelf):
    def last_words():
        row(writer, 100)
        assert numbers(shelf)[-1] == 100

    disk.before = last_words
    row(writer, 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupted_write_is_neither_torn_nor_overwritten(writer, disk, shelf, when):
    def interrupt():
        raise KeyboardInterrupt

    row(writer, 0)
    setattr(disk, when, interrupt)
    with pytest.raises(KeyboardInterrupt):
        row(writer, 1)
    assert row(writer, 2)
    assert numbers(shelf) == [0, 1, 2]
    assert contiguous(shelf.frames())


def test_a_handler_that_moves_to_the_next_segment_does_not_mislead_what_it_interrupted(writer, disk, shelf):
    def fill():
        for number in range(12):
            row(writer, 100 + number, size=100_000)

    disk.before = fill
    row(writer, 0)
    row(writer, 1)
    assert shelf.moves == [1]
    assert numbers(shelf) == [0, *range(100, 112), 1]
    assert contiguous(shelf.frames())


def test_a_storm_of_signals_loses_and_doubles_nothing(writer, shelf):
    inner = []

    def handler(*_):
        number = 1_000_000 + len(inner)
        inner.append(number)
        row(writer, number)

    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        for number in range(40_000):
            row(writer, number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    found = numbers(shelf)
    assert [number for number in found if number < 1_000_000] == list(range(40_000))
    # A signal may interrupt the handler of another one between its number and its row.
    assert sorted(number for number in found if number >= 1_000_000) == inner
    assert len(inner) > 50
    assert contiguous(shelf.frames())


def test_interrupts_at_any_instruction_leave_a_whole_sequence(writer, shelf):
    """Raises out of the n-th line executed inside append(), for every n."""

    class Stop(Exception):
        pass

    def stop_after(count):
        def trace(frame, event, _):
            nonlocal count
            if "segment_writer" not in frame.f_code.co_filename:
                return None
            if event == "line":
                count -= 1
                if count < 0:
                    raise Stop
            return trace

        return trace

    done = []
    for count in range(40):
        sys.settrace(stop_after(count))
        try:
            row(writer, count)
            done.append(count)
        except Stop:
            pass
        finally:
            sys.settrace(None)
        row(writer, 1000 + count)
        done.append(1000 + count)
    found = numbers(shelf)
    assert contiguous(shelf.frames())
    assert len(found) == len(set(found))
    assert set(done) <= set(found)


def test_threads_write_every_row_once_and_each_its_own_in_order(writer, shelf):
    shelf.left = 10

    def work(base):
        for number in range(2000):
            row(writer, base + number, size=100)

    threads = [threading.Thread(target=work, args=(base,)) for base in (0, 10_000, 20_000, 30_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = numbers(shelf)
    assert contiguous(shelf.frames())
    assert len(found) == 8000
    for base in (0, 10_000, 20_000, 30_000):
        assert [number for number in found if base <= number < base + 10_000] == list(
            range(base, base + 2000)
        )


def test_a_real_limit_on_the_file_size_is_counted_not_raised(tmp_path):
    """In a child: RLIMIT_FSIZE cannot be raised again."""
    (tmp_path / "limited").mkdir()
    shelf = Shelf(str(tmp_path / "limited"), capacity=256 << 10, segments=0)
    writer = SegmentWriter(shelf.open(0), shelf, snapshot)
    pid = os.fork()
    if pid == 0:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (512 << 10, 512 << 10))
        notices.silent = True
        os.close(2)
        kept = sum(row(writer, number, size=10_000) for number in range(100))
        os._exit(0 if 30 < kept < 60 and writer.lost == 100 - kept else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert contiguous(shelf.frames())
    writer.close()


def test_no_step_is_the_step_of_what_is_not_a_row(writer, shelf):
    writer.record(Kind.CONFIG, {"set": {}, "unset": []})
    assert shelf.frames()[-1].step == NO_STEP
