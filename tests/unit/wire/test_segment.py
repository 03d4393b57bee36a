"""The segment's first page: whose it is, and how far it was on disk."""

import struct
from itertools import product
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire import codec
from respool.wire.errors import FormatError, UnknownVersionError
from respool.wire.segment import (
    DATA,
    NO_MARK,
    Mark,
    SegmentHeader,
    decode_header,
    decode_mark,
    encode_header,
    encode_mark,
    parse_segment_name,
    segment_name,
)

HEADER = SegmentHeader("ab" * 16, 3, 12, 1.5)
PAYLOAD_AT = 16


def a_page(*marks: Mark) -> bytearray:
    page = bytearray(encode_header(HEADER))
    for mark in marks:
        at, data = encode_mark(mark)
        page[at : at + len(data)] = data
    return page


def of_version(version: int) -> bytes:
    payload = codec.pack({"anything": "else"})
    rest = struct.pack("<6sHI", b"RSPOOL", version, len(payload))
    check = crc32(payload, crc32(rest + bytes(4)))
    return (rest + struct.pack("<I", check) + payload).ljust(DATA, b"\0")


def test_a_header_comes_back_as_it_went_in() -> None:
    assert decode_header(encode_header(HEADER), "x.seg") == HEADER
    assert len(encode_header(HEADER)) == DATA


def test_the_bytes_of_a_header_are_these_and_no_others() -> None:
    payload = bytes.fromhex(
        "84aa617474656d70745f6964a16aa677726974657201a77365676d656e7402a76372656174656 4cb3ff8000000000000".replace(
            " ", ""
        )
    )
    head = struct.pack("<6sHI", b"RSPOOL", 1, len(payload))
    golden = head + struct.pack("<I", crc32(payload, crc32(head + bytes(4)))) + payload
    assert encode_header(SegmentHeader("j", 1, 2, 1.5))[: len(golden)] == golden
    assert decode_header(golden, "x") == SegmentHeader("j", 1, 2, 1.5)


def test_every_flipped_byte_of_a_header_is_damage_the_version_included() -> None:
    page = encode_header(HEADER)
    length = PAYLOAD_AT + struct.unpack_from("<I", page, 8)[0]
    for at, mask in product(range(length), (0x01, 0x02, 0x80, 0xFF)):
        flipped = bytearray(page)
        flipped[at] ^= mask
        with pytest.raises(FormatError, match=r"^x\.seg: ") as error:
            decode_header(bytes(flipped), "x.seg")
        assert not isinstance(error.value, UnknownVersionError)


def test_every_truncated_header_is_damage() -> None:
    page = encode_header(HEADER)
    length = PAYLOAD_AT + struct.unpack_from("<I", page, 8)[0]
    for cut in range(length):
        with pytest.raises(FormatError, match=r"^x\.seg: "):
            decode_header(page[:cut], "x.seg")
    assert decode_header(page[:length], "x.seg") == HEADER


@pytest.mark.parametrize("version", [0, 2, 65535])
def test_a_whole_header_of_another_version_is_named_as_such(version: int) -> None:
    with pytest.raises(
        UnknownVersionError, match=rf"x\.seg: segment version {version}; this release reads 1"
    ):
        decode_header(of_version(version), "x.seg")


@given(st.binary(max_size=200))
def test_random_bytes_are_no_header(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_header(data, "x.seg")


def test_a_header_with_a_wrong_field_is_refused_by_name() -> None:
    payload = codec.pack({"attempt_id": "a", "writer": "0", "segment": 0, "created": 0.0})
    rest = struct.pack("<6sHI", b"RSPOOL", 1, len(payload))
    data = rest + struct.pack("<I", crc32(payload, crc32(rest + bytes(4)))) + payload
    with pytest.raises(FormatError, match=r"SegmentHeader\.writer is '0', not int"):
        decode_header(data, "x.seg")


def test_a_new_segment_has_no_mark() -> None:
    assert decode_mark(encode_header(HEADER)) == NO_MARK
    assert decode_mark(b"") == NO_MARK


@given(st.lists(st.tuples(st.integers(DATA, 1 << 40), st.integers(0, 1 << 40)), min_size=1, max_size=6))
def test_the_newest_mark_counts_and_the_one_before_it_is_still_there(places: list[tuple[int, int]]) -> None:
    marks = [Mark(number + 1, *place) for number, place in enumerate(places)]
    page = a_page(*marks)
    assert decode_mark(bytes(page)) == marks[-1]
    at, data = encode_mark(marks[-1])
    page[at : at + len(data)] = bytes(len(data))
    assert decode_mark(bytes(page)) == (marks[-2] if len(marks) > 1 else NO_MARK)


def test_a_slot_that_is_torn_at_any_byte_leaves_the_mark_before_it() -> None:
    old, new = Mark(6, 5000, 10), Mark(8, 9000, 20)
    kept = Mark(7, 7000, 15)
    at, data = encode_mark(new)
    for cut in range(len(data)):
        page = a_page(old, kept)
        page[at : at + cut] = data[:cut]
        assert decode_mark(bytes(page)) in {kept, new}
        if data[:cut] != bytes(page[at : at + len(data)])[:cut]:
            assert decode_mark(bytes(page)) == kept


def test_every_flipped_byte_of_the_newest_slot_leaves_the_mark_before_it() -> None:
    kept, new = Mark(7, 7000, 15), Mark(8, 9000, 20)
    at, data = encode_mark(new)
    for offset, mask in product(range(len(data)), (0x01, 0x80, 0xFF)):
        page = a_page(kept, new)
        page[at + offset] ^= mask
        assert decode_mark(bytes(page)) == kept


def test_marks_and_header_lie_in_sectors_of_their_own() -> None:
    places = {encode_mark(Mark(generation, DATA, 0))[0] // 512 for generation in range(1, 5)}
    assert places == {1, 2}


@given(st.integers(0, 1000), st.integers(0, 10**7))
def test_a_segment_name_comes_back_as_it_went_in(writer: int, index: int) -> None:
    assert parse_segment_name(segment_name(writer, index)) == (writer, index)


@pytest.mark.parametrize(
    "name",
    [
        "attempt.json",
        "progress",
        "w0-000000.seg.part",
        "w0-000000",
        "w-1.seg",
        "0-1.seg",
        "w0-.seg",
        "wa-1.seg",
        "w0-²²².seg",
        "w0-1-2.seg",
        ".seg",
        "",
    ],
)
def test_files_of_other_names_are_nobodys(name: str) -> None:
    assert parse_segment_name(name) is None
