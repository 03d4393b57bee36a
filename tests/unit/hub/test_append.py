import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from respool.wire.frames import HEADER_SIZE, Kind, encode, frames
from respool_hub.service.refusal import RefusalError
from unit.hub.kit import BERT, Desk, name, record, row, rows

A = name(1)
COUNT = 40


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Desk(tmp_path_factory.mktemp("hub") / "data")
    yield made
    made.close()


def stored(desk, attempt):
    def look(reader):
        return [frame for batch in reader.batches(attempt) for frame in frames(reader.batch(batch.id))]

    return desk.read(look)


def bad(desk, first_seq, data):
    with pytest.raises(RefusalError) as refused:
        desk.append(A, first_seq, data)
    return refused.value.problem


uploads = st.lists(st.tuples(st.integers(0, COUNT), st.integers(1, COUNT)), max_size=30)
fresh = iter(range(100, 1 << 30))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uploads)
def test_whatever_arrives_how_often_in_which_order_is_stored_exactly_once(shared, parts):
    attempt = name(next(fresh))
    shared.attach(attempt, run_id=f"r{attempt[-8:]}")
    wanted = 0
    for first, length in parts:
        last = min(first + length, COUNT)
        done = shared.append(attempt, first, rows(first, range(first, last)))
        assert done.gap == (first > wanted)
        wanted = wanted if done.gap else max(wanted, last)
        assert done.appended.next_seq == wanted
    assert [frame.seq for frame in stored(shared, attempt)] == list(range(wanted))
    shown = shared.show(f"r{attempt[-8:]}")
    assert (shown["rows"], shown["last_step"]) == (wanted, wanted - 1 if wanted else None)


def test_an_empty_body_asks_where_to_go_on(desk):
    desk.attach(A)
    assert desk.append(A, 0, b"").appended.next_seq == 0
    desk.append(A, 0, rows(0, range(3)))
    assert desk.append(A, 0, b"").appended.next_seq == 3


def test_the_bytes_are_kept_as_they_came(desk):
    desk.attach(A)
    unknown = encode(60, b"\xc1 not msgpack", seq=1, flags=7, time=5.0)
    data = row(0, 0) + unknown + row(2, 1)
    desk.append(A, 0, data)
    batch = desk.read(lambda reader: reader.batch(reader.batches(A)[0].id))
    assert batch == data


def test_a_loss_closes_its_gap_and_is_counted(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(3)) + record(Kind.LOSS, 3, {"reason": "damage"}, span=10) + row(13, 13))
    shown = desk.show()
    assert (shown["lost"], shown["rows"]) == (10, 4)


def test_a_loss_over_what_is_here_counts_only_the_rest(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(8)))
    done = desk.append(A, 5, record(Kind.LOSS, 5, {"reason": "damage"}, span=10) + row(15, 15))
    assert (done.appended.next_seq, desk.show()["lost"], desk.show()["rows"]) == (16, 7, 9)
    assert [(frame.seq, frame.span) for frame in stored(desk, A)][8:] == [(8, 7), (15, 1)]


@pytest.mark.parametrize(
    ("data", "seq"),
    [
        (row(0, 0) + row(2, 2), 1),
        (row(1, 0), 0),
        (row(0, 0) + b"garbage" * 9, 1),
        (row(0, 0) + row(1, 1)[:-1], 1),
        (row(0, 0)[:-1] + b"\x07", 0),
        (row(0, 0) + bytes(100), 1),
        (row(0, 0) + record(64, 1, {}), 1),
        (record(Kind.LOSS, 0, {}, span=(1 << 32) - 1)[: HEADER_SIZE - 1], 0),
    ],
    ids=["gap", "start", "garbage", "cut", "crc", "zeros", "message", "half-header"],
)
def test_a_bad_body_names_its_first_bad_seq_and_none_of_it_is_kept(desk, data, seq):
    desk.attach(A)
    said = bad(desk, 0, data)
    assert (said.code, said.detail) == ("bad-frames", {"seq": seq})
    assert stored(desk, A) == []
    assert desk.append(A, 0, b"").appended.next_seq == 0


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.LOSS])
@pytest.mark.parametrize(
    "value",
    [
        5,
        {"set": 5, "unset": 5, "step": "x", "state": [], "name": {}, "config": 1, "summary": 2, "meta": 3},
        {"set": {"a": [[[]]]}, "unset": [[1], {}], "metrics": 7, "last_step": "no", "tags": 1},
        {"metrics": {"loss": 5}, "state": "ended", "exit_code": "x", 5: 6, b"k": b"v"},
        {"step": 1 << 63},
    ],
)
def test_payloads_that_are_not_what_their_kind_says_are_kept_and_do_no_harm(desk, kind, value):
    desk.attach(A)
    desk.append(A, 0, record(kind, 0, value, step=0) + row(1, 1))
    assert desk.append(A, 2, row(2, 2)).appended.next_seq == 3
    assert desk.show()["summary"]["loss"] == 2.0


@pytest.mark.parametrize("payload", [b"\xc1", b"\x91" * 5000 + b"\x90", b"\x05", b"\xd9\x01\xff"])
def test_a_payload_that_is_no_map_is_kept_and_shown_nowhere(desk, payload):
    desk.attach(A)
    kinds = [kind for kind in Kind if kind is not Kind.LOSS]
    for seq, kind in enumerate(kinds):
        desk.append(A, seq, encode(kind, payload, seq=seq, step=seq))
    assert (desk.show()["rows"], desk.lines(), desk.lines(every=True)) == (0, [], [])
    desk.append(A, len(kinds), row(len(kinds), 3))
    assert [json.loads(line)["_step"] for line in desk.lines()] == [3]


def test_values_nested_beyond_the_packer_are_kept(desk):
    desk.attach(A)
    deep = b"\x81\xa1a" * 600 + b"\xc0"
    desk.append(A, 0, encode(Kind.ROW, deep, seq=0, step=0) + encode(Kind.META, deep, seq=1))
    desk.append(A, 2, encode(Kind.META, b"\x81\xa4name" + deep, seq=2))
    assert desk.append(A, 3, row(3, 1)).appended.next_seq == 4
    assert desk.show()["last_step"] == 1
    assert len(desk.lines()) == 2


def test_times_that_are_no_numbers_do_no_harm(desk):
    desk.attach(A)
    desk.append(A, 0, row(0, 0, time=float("nan")) + row(1, 1, time=float("inf")) + row(2, 2))
    assert len(desk.lines()) == 3


def test_an_attempt_that_is_unknown_or_anothers_takes_nothing(desk):
    desk.attach(A)
    with pytest.raises(RefusalError) as refused:
        desk.append(name(2), 0, row(0, 0))
    assert refused.value.problem.code == "unknown-attempt"
    with pytest.raises(RefusalError) as refused:
        desk.append(A, 0, row(0, 0), who=BERT)
    assert refused.value.problem.code == "unknown-attempt"


def test_what_was_acknowledged_is_there_when_the_hub_opens_again(tmp_path):
    first = Desk(tmp_path / "data")
    first.attach(A)
    first.append(A, 0, rows(0, range(1000)))
    lines, incarnation = first.lines(), first.hub.incarnation
    first.close()
    second = Desk(tmp_path / "data")
    try:
        assert second.lines() == lines
        assert second.hub.incarnation == incarnation
        assert second.append(A, 1000, row(1000, 1000)).appended.next_seq == 1001
        assert second.show()["rows"] == 1001
    finally:
        second.close()
