"""Waiting for a hub that is away, and refusing what no longer fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire.limits import BLOBS_QUOTA
from respoold.core.backoff import CAP_SECONDS, RETRY_AFTER_CAP, delay
from respoold.core.breaker import Breaker
from respoold.core.quota import Room, blobs_cap, refuse_blob, refuse_segment

MIB = 1 << 20
DOUBLING = [min(2.0**count, CAP_SECONDS) for count in range(9)]
ROOM = Room(
    rows=0, blobs=0, rows_cap=100 * MIB, blobs_cap=50 * MIB, free=1000 * MIB, size=1000 * MIB, floor=0.1
)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_within_its_ceiling_however_many_failures_there_were(failures: int, jitter: float) -> None:
    assert 0 <= delay(failures, jitter) <= CAP_SECONDS


def test_the_ceiling_doubles_until_its_cap() -> None:
    assert [delay(failures, 1.0) for failures in range(9)] == DOUBLING


@pytest.mark.parametrize(("said", "seconds"), [(0.0, 0.0), (7.5, 7.5), (1e9, RETRY_AFTER_CAP), (-5.0, 0.0)])
def test_a_servers_word_wins_up_to_an_hour(said: float, seconds: float) -> None:
    assert delay(3, 0.5, said) == seconds


def test_a_breaker_is_closed_until_something_fails() -> None:
    breaker = Breaker(5.0)
    assert (breaker.closed, breaker.since, breaker.why) == (True, 5.0, None)
    assert all(breaker.may_send(now) for now in (5.0, 5.0, 6.0))
    assert breaker.succeeded(7.0) is False
    assert breaker.since == 5.0


def test_requests_that_fail_together_count_as_one_failure() -> None:
    breaker = Breaker(0.0)
    for _ in range(8):
        breaker.failed(10.0, 1.0, "gone")
    assert breaker.failures == 1
    assert breaker.wake_at == 10.0 + delay(0, 1.0)


def test_an_open_breaker_lets_one_probe_through_when_its_time_has_come() -> None:
    breaker = Breaker(0.0)
    breaker.failed(10.0, 1.0, "connection refused")
    assert (breaker.closed, breaker.since, breaker.why, breaker.wake_at) == (
        False,
        10.0,
        "connection refused",
        11.0,
    )
    assert [breaker.may_send(now) for now in (10.0, 10.9, 11.0, 11.0, 99.0)] == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_a_probe_that_fails_makes_the_next_wait_longer() -> None:
    breaker, now, waits = Breaker(0.0), 0.0, []
    for _ in range(9):
        breaker.failed(now, 1.0, "away")
        waits.append(breaker.wake_at - now)
        now = breaker.wake_at
        assert breaker.may_send(now)
    assert waits == DOUBLING
    assert breaker.since == 0.0


def test_an_answer_closes_it_once_and_starts_the_count_again() -> None:
    breaker = Breaker(0.0)
    for _ in range(5):
        breaker.failed(1.0, 1.0, "away")
    assert breaker.succeeded(50.0) is True
    assert breaker.succeeded(51.0) is False
    assert (breaker.closed, breaker.since, breaker.why) == (True, 50.0, None)
    breaker.failed(60.0, 1.0, "away again")
    assert breaker.wake_at == 61.0


def test_a_hub_that_asks_for_patience_gets_it() -> None:
    breaker = Breaker(0.0)
    breaker.failed(0.0, 0.1, "429", retry_after=40.0)
    assert not breaker.may_send(39.9)
    assert breaker.may_send(40.0)


def test_there_is_room_until_the_cap_and_not_a_byte_more() -> None:
    assert refuse_segment(ROOM._replace(rows=92 * MIB), 8 * MIB) is None
    assert "rows hold 93.0 MiB of the 100.0 MiB" in str(refuse_segment(ROOM._replace(rows=93 * MIB), 8 * MIB))
    assert refuse_blob(ROOM._replace(blobs=42 * MIB), 8 * MIB) is None
    assert "files hold 43.0 MiB of the 50.0 MiB allowed; 1.0 MiB are missing" in str(
        refuse_blob(ROOM._replace(blobs=43 * MIB), 8 * MIB)
    )
    assert "0.1 MiB are missing" in str(refuse_blob(ROOM._replace(blobs=50 * MIB), 1))


def test_rows_still_find_room_where_files_do_not() -> None:
    full = ROOM._replace(free=100 * MIB)
    assert "must keep 10% free; 1.0 MiB are missing" in str(refuse_blob(full, MIB))
    assert refuse_segment(full, 8 * MIB) is None
    assert "has 50.0 MiB left, which is its floor" in str(refuse_segment(ROOM._replace(free=50 * MIB), MIB))


rooms = st.builds(
    Room, *[st.integers(0, 1 << 40)] * 5, size=st.integers(1, 1 << 40), floor=st.floats(0.01, 0.5)
)


@given(rooms, st.integers(0, 1 << 40))
def test_what_is_granted_leaves_the_caps_and_the_floors(room: Room, size: int) -> None:
    if refuse_segment(room, size) is None:
        assert room.rows + size <= room.rows_cap
        assert room.free - size >= room.size * room.floor / 2
    if refuse_blob(room, size) is None:
        assert room.blobs + size <= room.blobs_cap
        assert room.free - size >= room.size * room.floor


def test_the_cap_for_files_is_what_was_configured_or_a_fifth_of_the_free_space() -> None:
    assert blobs_cap(7, 1 << 50) == 7
    assert blobs_cap(0, 1000) == 200
    assert blobs_cap(0, 1 << 60) == BLOBS_QUOTA
