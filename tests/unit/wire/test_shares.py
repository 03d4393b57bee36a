"""Which shares make one checkpoint, and what they say together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from respool.wire.shares import Place, is_whole, of_one_save, told_by

shares = st.lists(st.builds(Place, st.integers(0, 3), st.integers(0, 2), st.integers(3, 4)), min_size=1)


def itself(place: Place) -> Place:
    return place


def test_shares_of_two_saves_are_not_one_checkpoint_and_the_whole_one_counts() -> None:
    first, again = [Place(0, rank, 2) for rank in (0, 1)], [Place(1, rank, 2) for rank in (0, 1)]
    assert of_one_save([*first, again[0]], itself) == first
    assert of_one_save([first[1], *again, first[0]], itself) == again
    assert of_one_save([first[0], again[1]], itself) == [again[1]]


def test_a_whole_one_has_every_rank_of_one_world() -> None:
    assert is_whole([Place(0, 1, 2), Place(0, 0, 2)])
    assert not is_whole([Place(0, 1, 2)])
    assert not is_whole([Place(0, 0, 2), Place(0, 1, 3)])
    assert not is_whole([])


@given(shares)
def test_what_is_chosen_is_of_one_save_one_a_rank_and_whole_where_any_save_is(given_: list[Place]) -> None:
    chosen = of_one_save(given_, itself)
    assert len({one.repeat for one in chosen}) == 1
    assert [one.rank for one in chosen] == sorted({one.rank for one in chosen})
    if not is_whole(chosen):
        for repeat in {one.repeat for one in given_}:
            latest = {one.rank: one for one in given_ if one.repeat == repeat}
            assert not is_whole(latest.values())


def test_what_the_first_rank_says_counts_and_what_only_others_say_too() -> None:
    assert told_by([{"loss": 1.0}, {"loss": 2.0, "rank": 1}, None]) == {"loss": 1.0, "rank": 1}
