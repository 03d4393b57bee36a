"""Which acknowledged segments are kept for a hub that may be put back from a backup, and for how long."""

from __future__ import annotations

import pytest

from respoold.core.spent import KEEP_SECONDS, LEAST, MOST, SHARE, Segment, Spent

PLENTY = SHARE * MOST


def segment(
    number: int, size: int = LEAST, since: float = 0.0, attempt_id: str = "a", writer: int = 0
) -> Segment:
    return Segment(attempt_id, writer, number, size, since)


def test_nothing_goes_before_its_day_is_over() -> None:
    spent = Spent(PLENTY)
    spent.add(segment(0, since=0.0))
    spent.add(segment(1, since=10.0))
    assert spent.due(KEEP_SECONDS) == []
    assert spent.due(KEEP_SECONDS + 1) == [segment(0, since=0.0)]
    assert len(spent) == 1


def test_beyond_the_share_of_the_quota_the_oldest_go_first() -> None:
    spent = Spent(SHARE * 3 * LEAST)
    for number in range(5):
        spent.add(segment(number))
    assert [one.number for one in spent.due(0.0)] == [0, 1]
    assert spent.due(0.0) == []


def test_small_segments_count_as_if_they_were_not() -> None:
    spent = Spent(SHARE * 10 * LEAST)
    for number in range(11):
        spent.add(segment(number, size=1))
    assert [one.number for one in spent.due(0.0)] == [0]


def test_what_is_sent_again_is_no_longer_on_the_shelf_and_counts_no_more() -> None:
    spent = Spent(SHARE * 2 * LEAST)
    for writer in (0, 1):
        spent.add(segment(0, writer=writer))
    spent.forget("a", 1)
    spent.add(segment(1))
    assert spent.due(0.0) == []
    spent.forget("a")
    assert len(spent) == 0
    with pytest.raises(IndexError):
        spent.oldest()
