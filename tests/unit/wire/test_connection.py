"""Connections: two ends that have nothing but bytes between them."""

import struct
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire import codec
from respool.wire.connection import Connection, Received, Role, State, choose_version
from respool.wire.errors import FormatError, LocalProtocolError, RemoteProtocolError
from respool.wire.file_messages import BlobRequest
from respool.wire.frames import encode
from respool.wire.limits import MAX_FDS, MAX_MESSAGE, MAX_PAYLOAD
from respool.wire.messages import (
    Attach,
    Attached,
    Flush,
    Flushed,
    Hello,
    Message,
    Notice,
    Reattached,
    Refused,
    Ring,
    Spare,
    Welcome,
    decode_message,
    encode_message,
    type_numbers,
)

HELLO, WELCOME = Hello([1], "test 1.0"), Welcome(1, "0.1.0", "node7", "http://hub")


def a_pair() -> tuple[Connection, Connection]:
    """Client and server, past their greeting."""
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    server.receive_data(client.send(HELLO))
    assert messages(server) == [HELLO]
    client.receive_data(server.send(WELCOME))
    assert messages(client) == [WELCOME]
    return client, server


def messages(connection: Connection) -> list[Message]:
    return [received.message for received in connection.events()]


def test_a_greeting_opens_both_ends() -> None:
    client, server = a_pair()
    assert (client.state, server.state) == (State.OPEN, State.OPEN)


def test_a_refusal_closes_both_ends() -> None:
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    server.receive_data(client.send(HELLO))
    messages(server)
    refused = Refused("version", "too old", "upgrade")
    client.receive_data(server.send(refused))
    assert messages(client) == [refused]
    assert (client.state, server.state) == (State.CLOSED, State.CLOSED)


def test_the_bytes_of_a_message_are_these_and_no_others() -> None:
    made = Connection(Role.CLIENT).send(Hello([1], "c"), request=3)
    payload = bytes.fromhex("82a876657273696f6e739101a6636c69656e74a163")
    assert made[8:] == struct.pack("<QqBBHId", 3, -(1 << 63), 64, 0, 0xC0F5, 1, 0.0) + payload


def test_the_numbers_of_messages_never_change() -> None:
    assert {cls.__name__: number for cls, number in type_numbers.items()} == {
        "Hello": 64, "Welcome": 65, "Refused": 66, "Attach": 67, "Waiting": 68, "Attached": 69, "Reattach": 70,
        "Reattached": 71, "Ring": 72, "Rolled": 73, "Spare": 74, "Flush": 75, "Flushed": 76, "BlobRequest": 77,
        "BlobGrant": 78, "Restore": 79, "Restored": 80, "StatusRequest": 81, "Status": 82, "Notice": 83,
        "BlobDone": 84, "BlobKept": 85, "BlobDropped": 86, "Settle": 87, "Settled": 88, "CheckpointsAsked": 89,
        "Checkpoints": 90, "RestorePart": 91, "Stage": 92, "Staged": 93, "Adopt": 96, "Adopted": 97,
        "SpoolRequest": 98, "Spooled": 99, "Foretold": 100, "Left": 101, "Judged": 102, "Watch": 103, "Watched": 104,
            "Changed": 105,
    }  # fmt: skip


@given(st.data())
def test_messages_arrive_whole_however_the_bytes_are_cut(data: st.DataObject) -> None:
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    sent = [HELLO]
    raw = client.send(HELLO)
    client.receive_data(Connection_after_hello().send(WELCOME))
    messages(client)
    for number in range(data.draw(st.integers(0, 5))):
        message = data.draw(
            st.sampled_from([Ring(), Ring(urgent=True), Flush(hub=True), BlobRequest("a", 9)])
        )
        raw += client.send(message, request=number)
        sent.append(message)
    found: list[Message] = []
    for piece in pieces(raw, data.draw(st.lists(st.integers(0, len(raw))))):
        server.receive_data(piece)
        for received in server.events():
            found.append(received.message)
            if received.message == HELLO:
                server.send(WELCOME)
    assert found == sent


def Connection_after_hello() -> Connection:  # noqa: N802 - reads as a class where it is used
    server = Connection(Role.SERVER)
    server.receive_data(Connection(Role.CLIENT).send(HELLO))
    messages(server)
    return server


def pieces(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(set(cuts)), len(raw)]
    return [raw[a:b] for a, b in pairwise(edges) if a < b]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.data())
def test_descriptors_go_to_their_messages_first_in_first_out(counts: list[int], data: st.DataObject) -> None:
    client, server = a_pair()
    raw, numbers = b"", list(range(100, 100 + sum(counts)))
    for index, count in enumerate(counts):
        raw += server.send(Spare(index, 8), fds=count)
    found: list[Received] = []
    # A kernel delivers descriptors with the first byte they travel with; here they come early, all at once.
    for index, piece in enumerate(pieces(raw, data.draw(st.lists(st.integers(0, len(raw)))))):
        client.receive_data(piece, list(numbers) if index == 0 else [])
        found += client.events()
    assert [len(received.fds) for received in found] == counts
    assert [fd for received in found for fd in received.fds] == numbers
    assert client.surrender_fds() == []


def test_descriptors_that_nobody_claims_are_surrendered_once() -> None:
    client, _ = a_pair()
    client.receive_data(b"\x01", [7, 8])
    assert client.surrender_fds() == [7, 8]
    assert client.surrender_fds() == []


def test_descriptors_of_a_message_that_was_passed_over_are_surrendered_not_given_to_the_next() -> None:
    client, server = a_pair()
    client.receive_data(encode(250, codec.pack({}), seq=0, span=2), [7])
    client.receive_data(server.send(Spare(1, 8), fds=1), [8])
    (received,) = client.events()
    assert received.fds == [8]
    assert client.surrender_fds() == [7]


@pytest.mark.parametrize(("claimed", "arrived"), [(1, 0), (3, 2), (MAX_FDS + 1, MAX_FDS + 1), (2**31, 0)])
def test_a_message_that_claims_descriptors_it_has_not_is_refused(claimed: int, arrived: int) -> None:
    client, _ = a_pair()
    number, payload = encode_message(Spare(1, 8))
    client.receive_data(encode(number, payload, seq=0, span=1 + claimed), list(range(arrived)))
    with pytest.raises(RemoteProtocolError, match=f"claims {claimed} descriptors"):
        messages(client)
    assert client.surrender_fds() == list(range(arrived))


@pytest.mark.parametrize("early", [Ring(), WELCOME, Attach({}), Flush()])
def test_nothing_but_hello_comes_first(early: Message) -> None:
    with pytest.raises(LocalProtocolError, match="while the connection is idle"):
        Connection(Role.CLIENT).send(early)
    number, payload = encode_message(early)
    server = Connection(Role.SERVER)
    server.receive_data(encode(number, payload, seq=0))
    with pytest.raises(RemoteProtocolError, match="while the connection is idle"):
        messages(server)


def test_a_client_waits_for_the_answer_to_its_hello() -> None:
    client = Connection(Role.CLIENT)
    client.send(HELLO)
    with pytest.raises(LocalProtocolError, match="Ring while the connection is greeted"):
        client.send(Ring())


def test_a_second_hello_is_just_another_message_and_never_a_way_back() -> None:
    client, server = a_pair()
    server.receive_data(client.send(HELLO))
    assert messages(server) == [HELLO]
    assert server.state is State.OPEN


def test_unknown_messages_are_passed_over() -> None:
    client, server = a_pair()
    client.receive_data(encode(250, codec.pack({"new": 1}), seq=0) + server.send(Flushed(4)))
    assert messages(client) == [Flushed(4)]


def test_unknown_fields_are_dropped_and_missing_ones_take_their_defaults() -> None:
    number, _ = encode_message(Flushed(0))
    assert decode_message(number, codec.pack({"seq": 9, "since": "tomorrow"})) == Flushed(9, None)


@pytest.mark.parametrize(
    ("message", "field", "value"),
    [
        (Flushed(1), "seq", "1"),
        (Flushed(1), "seq", True),
        (Flushed(1), "seq", 1.5),
        (Flushed(1), "seq", None),
        (Flush(), "hub", 1),
        (HELLO, "versions", {"1": 1}),
        (HELLO, "client", b"test"),
        (Notice("a", "b"), "data", []),
        (BlobRequest("a", 1), "size", [1]),
        (WELCOME, "hub", 7),
    ],
)
def test_a_field_of_a_wrong_type_is_refused_by_name(message: Message, field: str, value: Any) -> None:
    number, _ = encode_message(message)
    payload = codec.pack(message._asdict() | {field: value})
    with pytest.raises(FormatError, match=rf"{type(message).__name__}\.{field} is .*, not "):
        decode_message(number, payload)


def test_a_missing_field_is_refused_by_name() -> None:
    client, _ = a_pair()
    client.receive_data(encode(76, codec.pack({}), seq=0))
    with pytest.raises(RemoteProtocolError, match=r"Flushed is incomplete: .*seq"):
        messages(client)


@pytest.mark.parametrize("payload", [codec.pack([1, 2]), b"\xc1", b"\x91" * 10_000 + b"\xc0"])
def test_a_payload_that_is_no_map_is_refused(payload: bytes) -> None:
    _, server = a_pair()
    server.receive_data(encode(72, payload, seq=0))
    with pytest.raises(RemoteProtocolError):
        messages(server)


def test_garbage_is_refused_as_soon_as_it_cannot_be_a_frame() -> None:
    _, server = a_pair()
    server.receive_data(b"GET / HTTP/1.1\r\nHost: hub\r\nAccept: */*\r\n\r\n")
    with pytest.raises(RemoteProtocolError, match="no frame"):
        messages(server)


def test_zeros_are_no_frame_on_a_connection() -> None:
    _, server = a_pair()
    server.receive_data(bytes(40))
    with pytest.raises(RemoteProtocolError, match="no frame"):
        messages(server)


@given(st.binary(min_size=1, max_size=300))
def test_random_bytes_are_waited_for_or_refused_and_never_a_message(data: bytes) -> None:
    _, server = a_pair()
    server.receive_data(data)
    try:
        assert messages(server) == []
    except RemoteProtocolError:
        return


@pytest.mark.parametrize("at", range(40))
def test_a_flipped_byte_of_a_header_never_makes_another_message(at: int) -> None:
    client, server = a_pair()
    raw = bytearray(client.send(BlobRequest("checkpoint.tar", 5)))
    raw[at] ^= 0xFF
    server.receive_data(bytes(raw))
    try:
        assert messages(server) == []
    except RemoteProtocolError:
        return


def test_a_message_of_four_gibibytes_is_refused_at_its_header() -> None:
    _, server = a_pair()
    raw = bytearray(encode(72, b"\x80", seq=0))
    raw[:4] = b"\xff\xff\xff\xff"
    server.receive_data(bytes(raw))
    with pytest.raises(RemoteProtocolError):
        messages(server)


def test_a_message_larger_than_a_record_arrives_and_one_over_its_own_limit_is_not_sent() -> None:
    client, server = a_pair()
    large = Attached(
        "a", "p", "r", config={"c": "x" * (MAX_PAYLOAD - 100)}, summary={"s": "y" * (MAX_PAYLOAD - 100)}
    )
    client.receive_data(server.send(large))
    assert messages(client) == [large]
    with pytest.raises(LocalProtocolError, match=f"Reattached of [0-9]+ bytes: at most {MAX_MESSAGE}"):
        server.send(Reattached("x" * (MAX_MESSAGE + 1)))


def test_a_peer_that_sends_without_end_is_refused() -> None:
    _, server = a_pair()
    with pytest.raises(RemoteProtocolError, match="without a whole message"):
        server.receive_data(bytes(2 * MAX_MESSAGE + 1))


def test_the_end_of_the_peer_closes_and_nothing_more_is_sent() -> None:
    client, _ = a_pair()
    client.receive_data(b"")
    assert messages(client) == []
    with pytest.raises(LocalProtocolError, match="while the connection is closed"):
        client.send(Ring())


def test_what_had_arrived_before_the_end_is_still_handed_out() -> None:
    client, server = a_pair()
    client.receive_data(server.send(Flushed(1)) + server.send(Flushed(2))[:-1])
    client.receive_data(b"")
    assert messages(client) == [Flushed(1)]
    assert client.state is State.CLOSED


def test_a_reply_carries_the_number_of_its_request() -> None:
    client, server = a_pair()
    client.receive_data(server.send(Flushed(1), request=41))
    assert [received.request for received in client.events()] == [41]


@pytest.mark.parametrize(
    ("offered", "chosen"), [([1], 1), ([7, 1], 1), ([2, 3], None), ([], None), (["1"], None)]
)
def test_the_best_common_version_is_chosen(offered: list[Any], chosen: int | None) -> None:
    assert choose_version(offered) == chosen
