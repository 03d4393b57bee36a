"""Frames: what goes in comes out, and nothing else ever does."""

import struct
from zlib import crc32

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire import codec
from respool.wire.errors import RemoteProtocolError
from respool.wire.frames import (
    EXPLICIT_STEP,
    HEADER_SIZE,
    MAGIC,
    NO_STEP,
    Frame,
    Kind,
    Stop,
    encode,
    frames,
    resync,
    walk,
)
from respool.wire.limits import MAX_PAYLOAD

U64, I64, U32 = (1 << 64) - 1, (1 << 63) - 1, (1 << 32) - 1

a_frame = st.builds(
    Frame,
    seq=st.integers(0, U64),
    step=st.integers(NO_STEP, I64),
    kind=st.integers(0, 255),
    flags=st.integers(0, 255),
    span=st.integers(1, U32),
    time=st.floats(allow_nan=False),
    payload=st.binary(min_size=1, max_size=200),
)


def bytes_of(frame: Frame) -> bytes:
    rest = frame._asdict()
    return encode(rest.pop("kind"), rest.pop("payload"), **rest)


def a_batch(count: int = 8) -> tuple[bytes, list[Frame]]:
    made = [
        Frame(seq, 10 * seq, Kind.ROW, 0, 1, 1.5 * seq, codec.pack({"loss": seq / 7, "n": seq}))
        for seq in range(count)
    ]
    return b"".join(map(bytes_of, made)), made


GOLDEN = bytes.fromhex(
    "07000000"  # length
    "2c1e0a3c"  # crc32, see below
    "0500000000000000" "e803000000000000" "01" "01" "f5c0" "01000000" "000000000000f83f"
    "81a46c6f737302"
)  # fmt: skip


def test_the_bytes_of_a_frame_are_these_and_no_others() -> None:
    check = struct.pack("<I", crc32(GOLDEN[8:]))
    golden = GOLDEN[:4] + check + GOLDEN[8:]
    made = encode(Kind.ROW, codec.pack({"loss": 2}), seq=5, step=1000, flags=EXPLICIT_STEP, time=1.5)
    assert made == golden
    assert walk(golden).frames == [Frame(5, 1000, 1, 1, 1, 1.5, b"\x81\xa4loss\x02")]


def test_a_header_has_forty_bytes_and_its_magic_at_twenty_six() -> None:
    made = encode(Kind.ROW, b"\xc0", seq=0)
    assert HEADER_SIZE == 40
    assert made[26:28] == b"\xf5\xc0"


@given(st.lists(a_frame, max_size=6), st.sampled_from([bytes, bytearray, memoryview]))
def test_frames_come_back_as_they_went_in(made: list[Frame], kind: type) -> None:
    data = b"".join(map(bytes_of, made))
    found = walk(kind(data))
    assert found == (made, len(data), Stop.END)
    assert list(frames(data)) == made


@given(st.lists(a_frame, min_size=2, max_size=6), st.data())
def test_a_walk_takes_no_more_frames_than_it_was_allowed(made: list[Frame], data: st.DataObject) -> None:
    limit = data.draw(st.integers(0, len(made)))
    raw = b"".join(map(bytes_of, made))
    first = walk(raw, 0, limit)
    assert first.frames == made[:limit]
    assert walk(raw, first.end).frames == made[limit:]


def test_every_truncation_gives_the_whole_frames_before_it_and_nothing_else() -> None:
    data, made = a_batch()
    for cut in range(len(data) + 1):
        found = walk(data[:cut])
        whole = [frame for frame in made if end_of(frame, data) <= cut]
        assert found.frames == whole
        at_edge = found.end == cut
        assert found.stop is (Stop.END if at_edge else Stop.PARTIAL)


def test_every_truncation_with_zeros_behind_it_never_gives_a_frame_that_was_not_written() -> None:
    data, made = a_batch()
    for cut in range(len(data) + 1):
        torn = data[:cut].ljust(len(data) + 100, b"\0")
        found = walk(torn)
        assert found.frames == made[: len(found.frames)]
        # A frame whose last bytes are zeros is whole as soon as the rest of it is there.
        assert len(found.frames) >= sum(end_of(frame, data) <= cut for frame in made)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_flipped_byte_costs_its_frame_and_never_makes_another(mask: int) -> None:
    data, made = a_batch()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= mask
        found = walk(flipped)
        hit = next(index for index, frame in enumerate(made) if at < end_of(frame, data))
        assert found.frames == made[:hit]
        assert found.stop is not Stop.END
        behind = resync(bytes(flipped), found.end, hit)
        if hit + 1 < len(made):
            assert behind is not None
            assert walk(flipped, behind).frames == made[hit + 1 :]
        else:
            assert behind is None


@given(st.binary(max_size=400))
def test_random_bytes_are_no_frames(data: bytes) -> None:
    found = walk(data)
    assert found.frames == []
    assert found.stop is (
        Stop.END if not data[:HEADER_SIZE].strip(b"\0") and zero_start(data) else found.stop
    )


@given(st.binary(max_size=300), st.lists(a_frame, min_size=1, max_size=3))
def test_resync_finds_the_first_whole_frame_behind_any_garbage(junk: bytes, made: list[Frame]) -> None:
    data = junk + b"".join(map(bytes_of, made))
    at = resync(data, 0, 0)
    assert at == len(junk)


def test_resync_passes_over_frames_of_the_past() -> None:
    data, made = a_batch(4)
    at = resync(data, 0, 2)
    assert at is not None
    assert walk(data, at).frames == made[2:]


def test_zeros_are_the_end_and_not_an_error() -> None:
    assert walk(bytes(1000)) == ([], 0, Stop.END)
    assert walk(b"") == ([], 0, Stop.END)


def test_a_length_of_four_gibibytes_is_refused_without_waiting_for_them() -> None:
    head = bytearray(encode(Kind.ROW, b"\xc0", seq=0))
    head[:4] = b"\xff\xff\xff\xff"
    assert walk(head).stop is Stop.BAD


def test_the_largest_payload_passes_and_one_byte_more_does_not() -> None:
    largest = encode(Kind.ROW, bytes(MAX_PAYLOAD), seq=0)
    assert len(walk(largest).frames) == 1
    assert walk(encode(Kind.ROW, bytes(MAX_PAYLOAD + 1), seq=0)).stop is Stop.BAD


def test_a_span_of_nothing_is_refused_for_it_would_stand_still() -> None:
    assert walk(encode(Kind.LOSS, b"\x80", seq=3, span=0)).stop is Stop.BAD


def test_a_frame_of_depth_ten_thousand_is_a_frame_whose_payload_is_refused() -> None:
    deep = b"\x91" * 10_000 + b"\xc0"
    (frame,) = walk(encode(Kind.ROW, deep, seq=0)).frames
    with pytest.raises(RemoteProtocolError, match="not msgpack"):
        codec.unpack(frame.payload)


@given(st.binary(max_size=200))
def test_a_payload_of_random_bytes_is_a_value_or_one_error(payload: bytes) -> None:
    try:
        value = codec.unpack(payload)
    except RemoteProtocolError:
        return
    assert msgpack.packb(value, strict_types=False) is not None or value is None


@pytest.mark.parametrize("payload", [b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x80\x80", b""])
def test_a_payload_that_promises_what_it_has_not_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        codec.unpack(payload)


def test_a_payload_that_must_be_a_map_is_nothing_else() -> None:
    with pytest.raises(RemoteProtocolError, match="is of type list, not a map"):
        codec.unpack_map(codec.pack([1]))


def end_of(frame: Frame, data: bytes) -> int:
    return data.index(bytes_of(frame)) + len(bytes_of(frame))


def zero_start(data: bytes) -> bool:
    return len(data) >= HEADER_SIZE or not any(data)


def test_the_magic_is_the_one_that_the_search_looks_for() -> None:
    assert MAGIC == 0xC0F5
