"""The reader: one writer's segments in a real folder, from the first look to the last deletion."""

import os
import stat
from typing import Any

import pytest

from respool.wire import codec
from respool.wire.frames import Kind, encode, walk
from respool.wire.segment import DATA, SegmentHeader, decode_mark, encode_header, segment_name
from respoold.core.attempt import Attempt
from respoold.core.progress import progress_of, restore_progress
from respoold.io import segments
from respoold.io.fold import fold
from respoold.io.reader import Reader
from unit.io.spools import ATTEMPT_ID, a_folder, a_row, a_spool, an_attempt, lay, quarantined, read
from unit.wire.test_segment import of_version

SIZE = 1 << 16


class Writer:
    """A trainer: appends frames to segments that a keeper made for it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.seq = 0
        self.at = DATA
        self.index = -1
        self.fd = -1

    def roll(self) -> int:
        """Begin the next segment; its descriptor, which the reader owns."""
        self.index, self.at = self.index + 1, DATA
        self.fd = segments.create(self.folder, ATTEMPT_ID, 0, self.index, SIZE)
        return self.fd

    def log(self, count: int = 1) -> None:
        for _ in range(count):
            self.put(a_row(self.seq))

    def put(self, frame: bytes) -> None:
        os.pwrite(self.fd, frame, self.at)
        self.at, self.seq = self.at + len(frame), self.seq + 1


def a_live_reader(folder: str) -> tuple[Reader, Writer]:
    reader, writer = Reader(an_attempt(folder), 0, own=True), Writer(folder)
    reader.keep(0, writer.roll())
    return reader, writer


def look_all(reader: Reader, now: float = 0.0) -> list[int]:
    seqs = []
    for _ in range(1000):
        look = reader.look(now)
        seqs += [frame.seq for frame in look.frames]
        if not look.more:
            return seqs
    raise AssertionError("a look that always asks for another")


def mark_of(folder: str, index: int = 0) -> Any:
    with open(os.path.join(folder, segment_name(0, index)), "rb") as file:
        return decode_mark(file.read(DATA))


def test_records_are_seen_as_they_are_written_and_once() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        assert look_all(reader) == []
        for count in (1, 3, 0, 2):
            first = writer.seq
            writer.log(count)
            assert look_all(reader) == list(range(first, writer.seq))
        assert not reader.finished
        reader.close()


def test_a_writer_that_rolls_is_followed_without_a_record_lost() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        writer.log(2)
        for _ in range(3):
            reader.keep(writer.index + 1, writer.roll())
            writer.log(2)
        assert look_all(reader) == list(range(8))
        reader.close()


def test_a_spare_segment_that_is_empty_is_not_the_end_of_a_living_writer() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        writer.log()
        look_all(reader)
        reader.keep(1, segments.create(folder, ATTEMPT_ID, 0, 1, SIZE))
        assert reader.look(0.0).more is False
        assert (reader.finished, reader.tail.segment) == (False, 0)
        reader.closing = True
        assert reader.look(0.0).finished
        assert os.path.getsize(os.path.join(folder, segment_name(0, 0))) == writer.at
        reader.close()


def test_a_record_larger_than_a_look_is_read_whole() -> None:
    with a_folder() as folder:
        large = a_row(1, size=1 << 20)
        body = a_row(0) + large + a_row(2)
        lay(folder, [encode_header(SegmentHeader(ATTEMPT_ID, 0, 0, 0.0)) + body])
        reader = Reader(an_attempt(folder), 0, own=True)
        assert look_all(reader) == [0, 1, 2]
        assert reader.read(reader.choose(1 << 30)) == body
        reader.close()


def test_a_sync_says_what_is_durable_and_its_mark_follows_one_sync_later() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        assert not reader.dirty
        writer.log(3)
        look_all(reader)
        assert reader.dirty
        reader.durable_seq = reader.sync()
        assert (reader.durable_seq, mark_of(folder).generation) == (3, 0)
        assert reader.dirty
        reader.sync()
        assert (mark_of(folder).offset, mark_of(folder).seq) == (writer.at, 3)
        assert not reader.dirty
        reader.close()


def test_a_mark_of_a_daemon_that_was_restarted_counts_at_once() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        for _ in range(5):
            writer.log()
            look_all(reader)
            reader.sync()
        reader.sync()
        before = mark_of(folder)
        reader.close()
        writer.fd = os.open(os.path.join(folder, segment_name(0, 0)), os.O_RDWR)
        writer.log(4)
        later = Reader(an_attempt(folder), 0, own=True)
        look_all(later)
        later.sync()
        later.sync()
        after = mark_of(folder)
        assert (after.seq, after.offset) == (9, writer.at)
        assert after.generation > before.generation
        later.close()
        os.close(writer.fd)


def test_what_was_left_behind_by_a_roll_is_synced_with_the_rest() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        writer.log(2)
        reader.keep(1, writer.roll())
        writer.log(2)
        look_all(reader)
        assert reader.dirty
        reader.durable_seq = reader.sync()
        assert reader.durable_seq == 4
        reader.sync()
        assert not reader.dirty
        reader.close()


def test_a_batch_is_as_large_as_allowed_but_one_extent_at_least() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        for _ in range(3):
            writer.log()
            look_all(reader)
            reader.tail.seal(reader.tail.next_seq)
        one = len(a_row(0))
        assert [len(reader.choose(limit)) for limit in (0, one, 2 * one, 3 * one - 1, 100 * one)] == [
            1,
            1,
            2,
            2,
            3,
        ]
        assert reader.read(reader.choose(100 * one)) == b"".join(map(a_row, range(3)))
        reader.close()


def test_a_batch_on_its_way_does_not_grow() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        writer.log()
        look_all(reader)
        chosen = reader.choose(1 << 20)
        writer.log()
        look_all(reader)
        assert reader.attempt.pending(0)[: len(chosen)] == chosen
        reader.attempt.acknowledge(0, chosen[-1].next_seq)
        assert [extent.first_seq for extent in reader.attempt.pending(0)] == [1]
        reader.close()


def test_segments_that_the_hub_has_are_named_for_deletion_and_no_others() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        writer.log(2)
        for _ in range(2):
            reader.keep(writer.index + 1, writer.roll())
            writer.log(2)
        look_all(reader)
        assert reader.prune() == []
        reader.attempt.acknowledge(0, 2)
        assert reader.prune() == [0]
        reader.attempt.acknowledge(0, 6)
        assert reader.prune() == [1]
        reader.close()


def test_after_a_deletion_and_a_restart_the_reading_goes_on_where_it_was() -> None:
    spool = a_spool([[0, 0], [0, 0], [0]], [0, 0, 0])
    with a_folder() as folder:
        lay(folder, spool.segments)
        first = read(folder)
        attempt = first.reader.attempt
        attempt.acknowledge(0, 3)
        attempt.rebase(0, 1)
        lay(folder, [None, *spool.segments[1:]])
        later = Attempt(attempt.file, folder)
        restore_progress(later, codec.unpack(codec.pack(progress_of(attempt))))
        second = read(folder, attempt=later)
        assert [frame.seq for frame in second.frames] == [3, 4, 5, 6, 7]
        assert (later.rows, later.last_step) == (attempt.rows, attempt.last_step)
        assert second.lost == set()


def test_records_the_hub_will_not_take_are_put_aside_and_counted_exactly() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        for _ in range(3):
            writer.log(2)
            look_all(reader)
            reader.tail.seal(reader.tail.next_seq)
        reader.attempt.acknowledge(0, 2)
        poisoned = reader.choose(1)
        reader.set_aside(poisoned[-1].next_seq, "the hub refused them", 0.0)
        assert quarantined(folder) == [a_row(2) + a_row(3)]
        (loss, *rest) = walk(reader.read(reader.attempt.pending(0))).frames
        assert (loss.kind, loss.seq, loss.span) == (Kind.LOSS, 2, 2)
        assert [frame.seq for frame in rest] == [4, 5]
        assert reader.prune() == []
        reader.close()


@pytest.mark.parametrize("foreign", range(3))
def test_a_segment_of_a_newer_release_is_kept_untouched_not_served_and_reported(foreign: int) -> None:
    spool = a_spool([[0, 0], [0, 0], [0, 0]], [0, 0, 0])
    strange = of_version(2) + b"whatever a newer release writes"
    segments = [strange if index == foreign else data for index, data in enumerate(spool.segments)]
    with a_folder() as folder:
        lay(folder, segments)
        reading = read(folder)
        reader = reading.reader
        assert reader.blocked is not None
        assert f"w0-{foreign:06d}.seg: segment version 2; this release reads 1" in reader.blocked
        assert [frame.seq for frame in reading.frames] == list(range(3 * foreign))
        assert not reader.finished
        assert reader.prune() == []
        for index, data in enumerate(segments):
            with open(os.path.join(folder, segment_name(0, index)), "rb") as file:
                assert file.read() == data
        assert reading.torn == []


def test_a_segment_whose_version_byte_flipped_is_damage_and_served() -> None:
    spool = a_spool([[0, 0]], [0])
    damaged = bytearray(spool.segments[0])
    damaged[6] ^= 0x02
    with a_folder() as folder:
        lay(folder, [bytes(damaged)])
        reading = read(folder)
        assert (reading.reader.blocked, len(reading.frames)) == (None, 3)


def test_a_symbolic_link_is_no_segment() -> None:
    with a_folder() as folder:
        os.symlink("/etc/passwd", os.path.join(folder, segment_name(0, 0)))
        with pytest.raises(OSError, match="symbolic link"):
            read(folder)


def test_a_segment_that_is_gone_is_no_error_until_it_is_asked_for() -> None:
    with a_folder() as folder:
        reader = Reader(an_attempt(folder), 0, own=True)
        assert reader.look(0.0) == ([], False, False)
        with pytest.raises(FileNotFoundError, match=r"w0-000007\.seg"):
            reader.descriptor(7)


def test_descriptors_are_closed_with_the_reader() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with a_folder() as folder:
        lay(folder, a_spool([[0], [0], [0]], [0, 0, 0]).segments)
        read(folder)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_fold_reads_on_from_the_newest_snapshot() -> None:
    snapshot = {"config": {"lr": 2}, "summary": {"old": 1}, "meta": {"name": "n"}, "last_step": 9}
    head = encode_header(SegmentHeader(ATTEMPT_ID, 0, 0, 0.0))
    old = encode(Kind.SNAPSHOT, codec.pack({"config": {"gone": 1}}), seq=0) + a_row(1)
    new = encode(Kind.SNAPSHOT, codec.pack(snapshot), seq=2) + encode(
        Kind.ROW, codec.pack({"loss": 0.5}), seq=3, step=10
    )
    with a_folder() as folder:
        lay(folder, [head + old, head + new])
        view = fold(folder)
        assert (view.config, view.summary, view.meta) == ({"lr": 2}, {"old": 1, "loss": 0.5}, {"name": "n"})
        assert view.last_step == 10
        lay(folder, [head + old, head + new[:10] + b"?" + new[11:]])
        view = fold(folder)
        assert (view.config, view.summary["loss"], view.last_step) == ({"gone": 1}, 0.5, 10)
        assert fold(folder, writer=3).rows == 0


def test_a_fold_passes_over_payloads_that_are_none() -> None:
    head = encode_header(SegmentHeader(ATTEMPT_ID, 0, 0, 0.0))
    with a_folder() as folder:
        lay(folder, [head + encode(Kind.CONFIG, b"\xc1", seq=0) + a_row(1)])
        assert fold(folder).rows == 1


def test_a_new_segment_is_allocated_private_and_empty() -> None:
    with a_folder() as folder:
        fd = segments.create(folder, ATTEMPT_ID, 0, 0, SIZE)
        found = os.fstat(fd)
        assert (found.st_size, stat.S_IMODE(found.st_mode)) == (SIZE, 0o600)
        assert os.listdir(folder) == [segment_name(0, 0)]
        assert not any(os.pread(fd, SIZE, DATA))
        os.close(fd)


def test_a_record_of_our_own_stands_behind_the_last_one_of_a_writer_that_ended() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        writer.log(3)
        look_all(reader)
        assert reader.append(Kind.FILE, codec.pack({"name": "x"}), 5.0)
        reader.closing = True
        assert look_all(reader) == [3]
        assert reader.finished
        assert not reader.append(Kind.FILE, b"", 6.0), "nobody would read it"
        reader.close()


@pytest.mark.parametrize("trouble", ["half a record", "no room"])
def test_no_record_of_our_own_is_written_over_half_a_record_or_past_the_end(trouble: str) -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        writer.log(3)
        look_all(reader)
        if trouble == "half a record":
            os.pwrite(writer.fd, a_row(3)[:-4], writer.at)
        assert not reader.append(Kind.FILE, bytes(SIZE if trouble == "no room" else 10), 5.0)
        assert not look_all(reader)
        reader.close()


def test_one_that_was_closed_has_nothing_left_to_sync() -> None:
    with a_folder() as folder:
        reader, writer = a_live_reader(folder)
        writer.log(3)
        look_all(reader)
        assert reader.dirty
        reader.rest()
        assert not reader.dirty, "else it is synced in vain, for ever"
