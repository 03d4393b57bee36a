"""Promise P4 on a small spool: every truncation point and every flipped byte, and what several damages do.

What was written whole arrives once and unchanged. What is damaged is a LOSS with its exact range when it had
been synced, or when anything whole follows it. A torn tail behind the mark is cut and put aside. Nothing else is
ever delivered, and reading again gives the same.
"""

import os
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from respool.wire.frames import HEADER_SIZE, Kind
from respool.wire.segment import DATA
from unit.io.spools import Reading, Spool, a_folder, a_spool, check, lay, read

SMALL = a_spool([[0, 7, 0, 1, 3], [2, 0, 0, 9], [0, 4, 0, 1, 0, 2]], synced=[4, 3, 4])
HEADER_AND_MARKS = [*range(110), *range(510, 545), *range(1022, 1056)]


def places(data: bytes) -> list[int]:
    """Every byte that means something: the header, the two marks, all frames, the zeros behind them."""
    return [*HEADER_AND_MARKS, *range(DATA, len(data))]


def check_twice(folder: str, spool: Spool, damaged: list[bytes | None]) -> Reading:
    lay(folder, damaged)
    first = read(folder)
    check(spool, damaged, first)
    again = read(folder)
    assert (again.raw, again.torn) == (first.raw, first.torn)
    return first


def torn_bytes(spool: Spool, data: bytes, reading: Reading) -> bytes:
    """What of the last segment is no record and was not counted: to be found in quarantine."""
    last = [record for record in spool.records if record.segment == len(spool.segments) - 1]
    known = [record for record in last if record.seq in reading.delivered or record.seq in reading.lost]
    return data[max([DATA, *[record.end for record in known]]) :].rstrip(b"\0")


def test_an_undamaged_spool_is_delivered_as_it_was_written() -> None:
    with a_folder() as folder:
        reading = check_twice(folder, SMALL, list(SMALL.segments))
    assert reading.raw == b"".join(record.raw for record in SMALL.records)
    assert (reading.lost, reading.torn) == (set(), [])


@pytest.mark.parametrize("segment", range(3))
@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_every_flipped_byte_costs_its_record_and_nothing_else(segment: int, mask: int) -> None:
    pristine = SMALL.segments[segment]
    with a_folder() as folder:
        for at in places(pristine):
            damaged: list[bytes | None] = list(SMALL.segments)
            flipped = bytearray(pristine)
            flipped[at] ^= mask
            damaged[segment] = bytes(flipped)
            reading = check_twice(folder, SMALL, damaged)
            torn = torn_bytes(SMALL, bytes(flipped), reading) if segment == 2 else b""
            assert reading.torn == ([torn] if torn else []), at


@pytest.mark.parametrize("segment", range(3))
def test_every_truncation_cuts_at_the_last_whole_record(segment: int) -> None:
    pristine = SMALL.segments[segment]
    with a_folder() as folder:
        for cut in places(pristine):
            damaged: list[bytes | None] = list(SMALL.segments)
            damaged[segment] = pristine[:cut]
            reading = check_twice(folder, SMALL, damaged)
            torn = torn_bytes(SMALL, pristine[:cut], reading) if segment == 2 else b""
            assert reading.torn == ([torn] if torn else []), cut


@pytest.mark.parametrize("segment", range(3))
def test_every_zero_filled_tail_is_a_truncation(segment: int) -> None:
    pristine = SMALL.segments[segment]
    with a_folder() as folder:
        for cut in range(DATA, len(pristine)):
            damaged: list[bytes | None] = list(SMALL.segments)
            damaged[segment] = pristine[:cut].ljust(len(pristine), b"\0")
            check_twice(folder, SMALL, damaged)


@pytest.mark.parametrize("missing", [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}])
def test_missing_segments_are_counted_when_anything_follows(missing: set[int]) -> None:
    damaged = [None if index in missing else data for index, data in enumerate(SMALL.segments)]
    with a_folder() as folder:
        reading = check_twice(folder, SMALL, damaged)
    assert len(reading.lost) == sum(
        record.segment in missing
        and record.segment < 2
        and missing != {0, 1, 2}
        and not {*range(record.segment, 3)} <= missing
        for record in SMALL.records
    )


@pytest.mark.parametrize("empty", range(3))
@pytest.mark.parametrize("what", ["no bytes", "header only", "zeros", "header and zeros"])
def test_an_empty_segment_never_hides_the_ones_behind_it(empty: int, what: str) -> None:
    pristine = SMALL.segments[empty]
    pieces = {
        "no bytes": b"",
        "header only": pristine[:512],
        "zeros": bytes(8000),
        "header and zeros": pristine[:DATA] + bytes(500),
    }
    damaged: list[bytes | None] = list(SMALL.segments)
    damaged[empty] = pieces[what]
    with a_folder() as folder:
        check_twice(folder, SMALL, damaged)


def test_a_lost_page_in_the_middle_is_counted_and_what_follows_it_is_delivered() -> None:
    spool = a_spool([[200] * 40, [200] * 40], synced=[10, 10])
    for segment in range(2):
        for page in range(3):
            data = bytearray(spool.segments[segment])
            data[DATA + 4096 * page : DATA + 4096 * (page + 1)] = bytes(4096)
            damaged: list[bytes | None] = list(spool.segments)
            damaged[segment] = bytes(data)
            with a_folder() as folder:
                check_twice(folder, spool, damaged)


def test_records_that_were_synced_last_of_all_are_a_loss_though_nothing_follows() -> None:
    whole = a_spool([[0, 0, 0]], synced=[4])
    with a_folder() as folder:
        reading = check_twice(folder, whole, [whole.segments[0][: whole.records[1].start + 5]])
    assert [(frame.kind, frame.seq, frame.span) for frame in reading.frames] == [
        (Kind.SNAPSHOT, 0, 1),
        (Kind.LOSS, 1, 3),
    ]


def test_an_adopter_reads_the_same_and_changes_nothing() -> None:
    pristine = SMALL.segments[2]
    torn = pristine[: SMALL.records[-1].end - 3]
    with a_folder() as folder:
        lay(folder, [*SMALL.segments[:2], torn])
        reading = read(folder, own=False)
        check(SMALL, [*SMALL.segments[:2], torn], reading)
        assert reading.torn == []
        assert os.path.getsize(os.path.join(folder, "w0-000002.seg")) == len(torn)


def test_a_segment_that_was_cut_is_as_long_as_its_records() -> None:
    with a_folder() as folder:
        lay(folder, SMALL.segments)
        read(folder)
        assert os.path.getsize(os.path.join(folder, "w0-000002.seg")) == SMALL.records[-1].end


class Damage(NamedTuple):
    """`what` happens to `size` bytes at share `where` of a segment's header or (`data`) of its frames."""

    what: str
    segment: int
    data: bool
    where: float
    size: int

    def strike(self, spool: Spool, segments: list[bytes | None]) -> None:
        index = self.segment % len(segments)
        found = segments[index]
        if found is None:
            return
        first, last = (min(DATA, len(found)), len(found)) if self.data else (0, min(DATA, len(found)))
        at = first + int(self.where * (last - first))
        end = min(at + self.size, len(found))
        segments[index] = {
            "flip": found[:at] + bytes(255 - byte for byte in found[at:end]) + found[end:],
            "zero": found[:at] + bytes(end - at) + found[end:],
            "noise": found[:at] + Random(self.size).randbytes(end - at) + found[end:],
            "append": found + Random(self.size).randbytes(self.size),
            "copy": found[:at] + spool.segments[0][at:end] + found[end:],
            "cut": found[:at],
            "miss": None,
        }[self.what]


a_shape = st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=25), min_size=1, max_size=4)
a_damage = st.builds(
    Damage,
    what=st.sampled_from(["flip", "zero", "noise", "append", "copy", "cut", "miss"]),
    segment=st.integers(0, 3),
    data=st.booleans(),
    where=st.floats(0, 1),
    size=st.integers(1, 500),
)


def in_place_only(spool: Spool, damaged: list[bytes | None]) -> bool:
    """Whether every record that lies anywhere lies where it was written: a moved one may be taken or not."""
    for data in damaged:
        for record in spool.records:
            at = -1 if data is None else data.find(record.raw)
            if at >= 0 and (at != record.start or damaged[record.segment] != data):
                return False
    return True


@settings(max_examples=250)
@given(a_shape, st.floats(0, 1), st.integers(0, 200), st.lists(a_damage, min_size=1, max_size=5))
def test_any_damages_together_cost_no_more_than_themselves(
    shape: list[list[int]], marked: float, room: int, damages: list[Damage]
) -> None:
    spool = a_spool(shape, [int(marked * (len(rows) + 1)) for rows in shape], room)
    damaged: list[bytes | None] = list(spool.segments)
    for damage in damages:
        damage.strike(spool, damaged)
    with a_folder() as folder:
        lay(folder, damaged)
        first = read(folder)
        if in_place_only(spool, damaged):
            check(spool, damaged, first)
        written = {record.seq: record.raw for record in spool.records}
        assert all(written[seq] == raw for seq, raw in first.delivered.items())
        assert not first.lost & first.delivered.keys()
        again = read(folder)
        assert again.raw == first.raw
        # A last segment that was cut to nothing makes the one before it the last: its tail is cut now, too.
        assert set(first.torn) <= set(again.torn)


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=400), min_size=1, max_size=3))
def test_a_spool_of_random_bytes_is_read_to_its_end_and_nothing_is_delivered(segments: list[bytes]) -> None:
    with a_folder() as folder:
        lay(folder, [bytes(DATA) + data for data in segments])
        reading = read(folder)
    assert reading.frames == []
    begun = [data.rstrip(b"\0") for data in segments if data.strip(b"\0")]
    assert reading.torn == begun[-1:]


def test_a_header_is_smaller_than_the_room_these_tests_leave() -> None:
    assert HEADER_SIZE < 64
