"""The tail: what a growing segment means, look by look."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire import codec
from respool.wire.frames import NO_STEP, Frame, Kind, encode, walk
from respool.wire.segment import DATA, NO_MARK, Mark
from respoold.core.tail import READ_SIZE, STUCK_SECONDS, Extent, Start, Tail


def row(seq: int, step: int | None = None, size: int = 0, time: float = 0.0) -> bytes:
    payload = codec.pack({"n": seq, "x": "y" * size})
    return encode(Kind.ROW, payload, seq=seq, step=seq if step is None else step, time=time)


def rows(first: int, last: int) -> bytes:
    return b"".join(row(seq) for seq in range(first, last))


def broken(data: bytes) -> bytes:
    """The same bytes, but for one in the payload."""
    return data[:-1] + bytes([data[-1] ^ 0xFF])


def seqs(frames: list[Frame]) -> list[int]:
    return [frame.seq for frame in frames]


def losses(tail: Tail) -> list[tuple[int, int, str]]:
    """(first, span, reason) of each LOSS that is pending."""
    found = [walk(extent.inline).frames[0] for extent in tail.extents if extent.inline]
    return [(frame.seq, frame.span, codec.unpack(frame.payload)["reason"]) for frame in found]


def ranges(tail: Tail) -> list[tuple[int, int]]:
    return [(extent.first_seq, extent.next_seq) for extent in tail.extents]


def test_nothing_yet_is_waited_for() -> None:
    tail = Tail(0)
    for data in (b"", bytes(5), bytes(1000)):
        found = tail.feed(data, 0.0)
        assert (found.frames, found.waiting, found.torn) == ([], True, None)
    assert (tail.offset, tail.next_seq, list(tail.extents)) == (DATA, 0, [])


def test_what_is_whole_is_taken_and_its_place_remembered() -> None:
    tail, data = Tail(0), rows(0, 3)
    found = tail.feed(data + bytes(50), 7.0)
    assert (seqs(found.frames), found.waiting) == ([0, 1, 2], True)
    assert list(tail.extents) == [Extent(0, DATA, DATA + len(data), 0, 3, 3, 7.0)]
    assert (tail.offset, tail.next_seq) == (DATA + len(data), 3)


def test_a_look_that_ends_where_its_bytes_do_asks_for_another() -> None:
    assert not Tail(0).feed(rows(0, 3), 0.0).waiting
    assert not Tail(0).feed(rows(0, 3) + row(3)[:20], 0.0).waiting


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12), st.lists(st.integers(0, 3000), max_size=12))
def test_however_a_segment_grows_each_record_is_taken_once(sizes: list[int], ends: list[int]) -> None:
    data = b"".join(row(seq, size=size) for seq, size in enumerate(sizes))
    tail, taken = Tail(0), list[int]()
    for now, end in enumerate(sorted({min(end, len(data)) for end in [*ends, len(data)]})):
        for zeros in (100, 0):
            view = data[:end].ljust(len(data) + zeros, b"\0") if zeros else data[:end]
            taken += seqs(tail.feed(view[tail.offset - DATA :], now / 100).frames)
    assert taken == list(range(len(sizes)))
    assert losses(tail) == []
    assert sum(extent.size for extent in tail.extents) == len(data)


def test_a_frame_half_written_is_waited_for() -> None:
    tail, data = Tail(0), row(0, size=100)
    for end in range(1, len(data)):
        assert tail.feed(data[:end].ljust(500, b"\0"), 0.0).waiting
    assert seqs(tail.feed(data, 0.0).frames) == [0]


def test_a_frame_larger_than_the_look_says_how_many_bytes_it_needs() -> None:
    tail, data = Tail(0), row(0, size=READ_SIZE)
    found = tail.feed(data[:READ_SIZE], 0.0)
    assert (found.waiting, found.need) == (True, len(data))
    assert seqs(tail.feed(data[: found.need], 0.0).frames) == [0]


@pytest.mark.parametrize("end", range(1, 40))
def test_a_header_cut_by_the_end_of_the_file_is_waited_for(end: int) -> None:
    found = Tail(0).feed(row(0)[:end], 0.0)
    assert (found.frames, found.waiting) == ([], True)


damaged: dict[str, Callable[[bytes], bytes]] = {
    "a flipped byte": broken,
    "a length beyond all bytes": lambda data: b"\xff\xff\x0f\x00" + data[4:],
    "a length beyond all sense": lambda data: b"\xff\xff\xff\xff" + data[4:],
    "a length of nothing": lambda data: bytes(4) + data[4:],
    "noise": lambda data: b"\xa5" * len(data),
}


@pytest.mark.parametrize("how", damaged)
def test_damage_under_a_living_writer_is_skipped_with_a_loss_when_it_stays(how: str) -> None:
    tail = Tail(0)
    data = row(0) + damaged[how](row(1)) + rows(2, 4) + bytes(300)
    tail.feed(data, 0.0)
    at = tail.offset - DATA
    assert tail.feed(data[at:], 10.0).waiting
    assert tail.feed(data[at:], 10.0 + STUCK_SECONDS - 0.01).waiting
    assert losses(tail) == []
    tail.feed(data[at:], 10.0 + STUCK_SECONDS)
    found = tail.feed(data[tail.offset - DATA :], 10.0 + STUCK_SECONDS)
    assert seqs(found.frames) == [2, 3]
    assert losses(tail) == [(1, 1, "damaged records")]


def test_bytes_that_come_right_in_time_are_no_damage() -> None:
    tail, data = Tail(0), rows(0, 3)
    half = bytes(20) + data[20:]
    assert tail.feed(broken(row(0)) + half[len(row(0)) :], 0.0).waiting
    assert seqs(tail.feed(data, STUCK_SECONDS - 0.1).frames) == [0, 1, 2]
    assert losses(tail) == []


def test_wrong_bytes_with_nothing_whole_behind_them_are_waited_for_without_end() -> None:
    tail, data = Tail(0), broken(row(0)) + bytes(100)
    for now in range(20):
        assert tail.feed(data, float(now)).waiting
    assert (tail.offset, losses(tail)) == (DATA, [])


def test_the_search_behind_damage_asks_for_more_bytes_and_rests_when_there_are_none() -> None:
    tail, large = Tail(0), broken(row(0, size=READ_SIZE))
    data = large + row(1)
    need = tail.feed(data[:READ_SIZE], 0.0).need
    assert need == len(large)
    assert tail.feed(data[:need], 0.0).need == 0
    looks, size = 0, need
    while size and not tail.next_seq:
        looks, size = looks + 1, tail.feed(data[:size], 5.0).need
    assert losses(tail) == [(0, 1, "damaged records")]
    assert looks == 2
    lonely = Tail(0)
    lonely.feed(large, 0.0)
    assert lonely.feed(large, 5.0).need > len(large)
    assert lonely.feed(large, 5.1).need == 0


def test_a_gap_in_the_sequence_under_a_living_writer_is_a_loss_of_exactly_what_is_missing() -> None:
    tail, data = Tail(0), row(0) + row(5)
    assert seqs(tail.feed(data, 0.0).frames) == [0]
    rest = data[len(row(0)) :]
    tail.feed(rest, 0.0)
    tail.feed(rest, STUCK_SECONDS)
    assert seqs(tail.feed(rest, STUCK_SECONDS).frames) == [5]
    assert losses(tail) == [(1, 4, "damaged records")]


def test_records_of_the_past_are_never_taken_again() -> None:
    tail = Tail(0)
    tail.feed(rows(0, 3), 0.0)
    found = tail.close(rows(1, 5), NO_MARK, 0.0)
    assert seqs(found.frames) == [3, 4]
    assert ranges(tail) == [(0, 3), (3, 5)]


def test_what_lies_between_whole_frames_of_a_closed_segment_is_counted_exactly() -> None:
    tail = Tail(0)
    data = rows(0, 2) + broken(row(2)) + broken(row(3)) + row(4) + b"junk" * 9 + rows(5, 7)
    found = tail.close(data, NO_MARK, 0.0)
    assert seqs(found.frames) == [0, 1, 4, 5, 6]
    assert losses(tail) == [(2, 2, "damaged records")]
    assert ranges(tail) == [(0, 2), (2, 4), (4, 5), (5, 7)]
    assert found.torn is None


@pytest.mark.parametrize("rest", [b"", bytes(60), broken(row(2)), row(2)[:30]])
def test_what_the_mark_knows_of_is_lost_and_counted_though_nothing_follows(rest: bytes) -> None:
    tail = Tail(0)
    mark = Mark(1, DATA + len(rows(0, 6)), 6)
    found = tail.close(rows(0, 2) + rest, mark, 0.0)
    assert (seqs(found.frames), found.torn) == ([0, 1], None)
    assert losses(tail) == [(2, 4, "damaged records that had been synced")]
    assert tail.next_seq == 6


def test_a_torn_tail_behind_the_mark_is_named_and_not_counted() -> None:
    tail, mark = Tail(0), Mark(1, DATA + len(rows(0, 2)), 2)
    found = tail.close(rows(0, 3) + row(3)[:25] + bytes(100), mark, 0.0)
    assert seqs(found.frames) == [0, 1, 2]
    assert found.torn == DATA + len(rows(0, 3)) == tail.offset
    assert losses(tail) == []


def test_zeros_behind_the_last_record_are_no_torn_tail() -> None:
    assert Tail(0).close(rows(0, 2) + bytes(4096), NO_MARK, 0.0).torn is None


def test_a_missing_segment_shows_in_the_first_seq_of_the_next() -> None:
    tail = Tail(0)
    tail.feed(rows(0, 2), 0.0)
    tail.advance(2)
    assert seqs(tail.feed(rows(7, 9), 0.0).frames) == [7, 8]
    assert losses(tail) == [(2, 5, "missing segment")]


def test_a_loss_is_the_same_bytes_whenever_it_is_found() -> None:
    data = row(0, time=5.5) + broken(row(1)) + rows(2, 4)
    inline = []
    for now in (1.0, 9e9):
        tail = Tail(0)
        tail.close(data, NO_MARK, now)
        inline += [extent.inline for extent in tail.extents if extent.inline]
    assert inline[0] == inline[1]
    assert walk(inline[0]).frames[0].time == 5.5


def test_records_become_extents_that_grow_up_to_the_size_of_a_look() -> None:
    tail, size = Tail(0), 50_000
    for seq in range(8):
        tail.feed(row(seq, size=size), float(seq))
    assert ranges(tail) == [(0, 5), (5, 8)]
    assert all(extent.size <= READ_SIZE for extent in tail.extents)
    assert [extent.at for extent in tail.extents] == [0.0, 5.0]


def test_a_sealed_extent_does_not_grow_any_more() -> None:
    tail = Tail(0)
    tail.feed(row(0), 0.0)
    tail.seal(1)
    tail.feed(row(1), 0.0)
    tail.feed(row(2), 0.0)
    assert ranges(tail) == [(0, 1), (1, 3)]


def test_an_extent_never_reaches_over_a_segment_or_a_loss() -> None:
    tail = Tail(0)
    tail.close(row(0) + broken(row(1)) + row(2), NO_MARK, 0.0)
    tail.advance(1)
    tail.feed(row(3), 0.0)
    assert ranges(tail) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert [extent.segment for extent in tail.extents] == [0, 0, 0, 1]


def test_an_acknowledgement_takes_whole_extents_only() -> None:
    tail = Tail(0)
    for seq in range(3):
        tail.feed(row(seq), 0.0)
        tail.seal(seq + 1)
    assert [extent.first_seq for extent in tail.acknowledge(2)] == [0, 1]
    assert ranges(tail) == [(2, 3)]
    tail.feed(row(3) + row(4), 0.0)
    assert tail.acknowledge(4) == [Extent(0, DATA + len(rows(0, 2)), DATA + len(rows(0, 3)), 2, 3, 1, 0.0)]
    assert ranges(tail) == [(3, 5)]


def test_an_inserted_loss_keeps_the_segments_of_what_is_pending_behind_it() -> None:
    tail = Tail(0)
    tail.feed(rows(0, 2), 0.0)
    tail.acknowledge(2)
    tail.feed(rows(2, 4), 0.0)
    tail.advance(1)
    tail.feed(rows(4, 5), 0.0)
    tail.insert_loss(0, 2, "the hub lost them", 1.0)
    assert losses(tail) == [(0, 2, "the hub lost them")]
    assert ranges(tail) == [(0, 2), (2, 4), (4, 5)]
    assert tail.extents[0].segment == 0
    assert tail.facts.lost == 2


def test_a_loss_that_the_trainer_wrote_is_counted_with_its_span() -> None:
    tail = Tail(0)
    tail.feed(row(0) + encode(Kind.LOSS, codec.pack({"reason": "full"}), seq=1, span=40) + row(41), 0.0)
    assert (tail.next_seq, tail.facts.lost, losses(tail)) == (42, 40, [])


def test_the_start_of_a_segment_remembers_what_came_before_it() -> None:
    tail = Tail(0)
    tail.feed(row(0, step=1000) + row(1, step=1001) + encode(Kind.CUT, codec.pack({"step": 9}), seq=2), 0.0)
    tail.advance(1)
    tail.feed(row(3, step=5000), 0.0)
    start = tail.starts[1]
    assert (start.segment, start.seq) == (1, 3)
    assert start.facts["first_steps"] == [1000, 1001]
    assert (start.facts["rows"], start.facts["last_step"], start.facts["cut"]) == (2, 1001, 9)
    assert isinstance(start, Start)


def test_rows_count_by_their_header_and_steps_by_the_greatest() -> None:
    tail = Tail(0)
    tail.feed(
        row(0, 7) + row(1, 3) + encode(Kind.ROW, b"\xc1", seq=2, step=8) + encode(60, b"\xc1", seq=3), 0.0
    )
    assert (tail.facts.rows, tail.facts.last_step, tail.facts.first_steps) == (3, 8, [7, 3])


@pytest.mark.parametrize("kind", [Kind.STATE, Kind.FILE, Kind.CUT])
@pytest.mark.parametrize("payload", [b"\xc1", b"\x91" * 10_000 + b"\xc0", b"\x01"])
def test_a_payload_that_is_none_does_not_stop_the_reading(kind: Kind, payload: bytes) -> None:
    tail = Tail(0)
    assert seqs(tail.feed(encode(kind, payload, seq=0, step=NO_STEP) + row(1), 0.0).frames) == [0, 1]


@given(st.lists(st.binary(min_size=1, max_size=120) | st.integers(0, 30), max_size=12))
def test_any_mixture_of_noise_and_records_gives_records_and_losses_without_a_gap(
    pieces: list[bytes | int],
) -> None:
    data = b"".join(piece if isinstance(piece, bytes) else row(piece) for piece in pieces)
    tail = Tail(0)
    found = tail.close(data, NO_MARK, 0.0)
    written = {piece for piece in pieces if isinstance(piece, int)}
    assert set(seqs(found.frames)) <= written
    assert seqs(found.frames) == sorted(set(seqs(found.frames)))
    edges = ranges(tail)
    assert [first for first, _ in edges] == [0, *[after for _, after in edges[:-1]]][: len(edges)]
    whole = sum(after - first for first, after in edges) - sum(span for _, span, _ in losses(tail))
    assert whole == len(found.frames)
