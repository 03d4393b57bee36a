"""Which checkpoints are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire.retention import DEFAULT, Candidate, Policy, dropped, policy_of


def ladder(*steps: int, **more: object) -> list[Candidate]:
    return [Candidate(step, step, **more) for step in sorted(steps, reverse=True)]  # type: ignore[arg-type]


def kept(policy: Policy, candidates: list[Candidate]) -> list[int]:
    gone = dropped(policy, candidates)
    return sorted(one.step for one in candidates if one.key not in gone)


def test_the_last_ones_stay() -> None:
    assert kept(Policy(last=2), ladder(100, 200, 300, 400)) == [300, 400]


def test_of_one_step_only_the_newest_counts() -> None:
    again = [Candidate("c", 20), Candidate("b", 20, pinned=True), Candidate("a", 10), Candidate("0", 5)]
    assert dropped(Policy(last=2), again) == ["b", "0"]
    torn = [Candidate("c", 20, complete=False), Candidate("b", 20), Candidate("a", 10), Candidate("0", 5)]
    assert dropped(Policy(last=2), torn) == ["0"]


def test_multiples_pinned_and_best_stay_beside_the_last() -> None:
    scores = {100: 0.9, 200: 0.1, 300: 0.5, 400: 0.4, 500: 0.3}
    found = [
        Candidate(step, step, pinned=step == 300, score=score) for step, score in sorted(scores.items())[::-1]
    ]
    assert kept(Policy(last=1), found) == [300, 500]
    assert kept(Policy(last=1, mode="min"), found) == [200, 300, 500]
    assert kept(Policy(last=1, mode="max"), found) == [100, 300, 500]
    assert kept(Policy(last=1, every=200), found) == [200, 300, 400, 500]


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    found = [Candidate(2, 2, score=float("nan")), Candidate(1, 1, score=3.0), Candidate(0, 0, score=None)]
    assert kept(Policy(last=1, mode="min"), found) == [1, 2]


def test_an_incomplete_one_stays_while_it_may_become_whole_and_goes_when_it_is_outlived() -> None:
    whole, half = (
        ladder(100, 300, 500),
        [Candidate(400, 400, complete=False), Candidate(200, 200, complete=False)],
    )
    found = sorted([*whole, *half], key=lambda one: -one.step)
    assert kept(Policy(last=2), found) == [300, 400, 500]


@given(
    st.integers(0, 3),
    st.integers(0, 5),
    st.sampled_from(["", "min", "max"]),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.none() | st.floats()), max_size=12),
)
def test_the_newest_complete_one_is_never_dropped(
    last: int, every: int, mode: str, drawn: list[tuple[bool, bool, float | None]]
) -> None:
    found = [Candidate(n, n, *one) for n, one in enumerate(drawn)][::-1]
    complete = [one.step for one in found if one.complete]
    assert not complete or complete[0] in kept(Policy(last, every, mode), found)
    assert all(one.key not in dropped(Policy(last, every, mode), found) for one in found if one.pinned)


@pytest.mark.parametrize(
    "said", [None, 7, {}, {"last": -1}, {"last": True}, {"every": "x"}, {"mode": []}, {"last": 0}]
)
def test_what_no_policy_can_mean_is_the_default(said: object) -> None:
    assert policy_of(said) == DEFAULT
