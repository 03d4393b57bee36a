"""Lineage and cuts: which rows are a run's history, against a model that keeps rows in a list."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire.frames import NO_STEP
from respoold.core.lineage import Link, Visible, cut_of, cuts_of, last_step, lineage, visible


class Life(NamedTuple):
    """An attempt as it happened: the steps it logged, and what was asked for."""

    steps: tuple[int, ...] = ()
    rewound: int | None = None
    ordered: int | None = None


def links_of(lives: list[Life]) -> list[Link]:
    return [
        Link(
            f"a{number}",
            f"a{number - 1}" if number else None,
            life.steps[:2],
            max(life.steps, default=NO_STEP),
            life.rewound,
            life.ordered,
        )
        for number, life in enumerate(lives)
    ]


def shown(lives: list[Life]) -> list[tuple[int, int]]:
    """(attempt, step) of each row that shows, as the code says it."""
    found = visible(links_of(lives))
    return [
        (number, step)
        for number, (life, one) in enumerate(zip(lives, found, strict=True))
        for step in life.steps
        if one.limit is None or step < one.limit
    ]


def told(lives: list[Life]) -> list[tuple[int, int]]:
    """The same by the words of the design: each attempt strikes out what it repeats, then adds its own."""
    history: list[tuple[int, int]] = []
    for number, life in enumerate(lives):
        cut = None
        if life.ordered is not None:
            cut = life.ordered if life.ordered >= 0 else None
        elif life.rewound is not None:
            cut = life.rewound
        elif number and life.steps:
            greatest = max((step for _, step in history), default=NO_STEP)
            late = len(life.steps) > 1 and life.steps[0] <= greatest < life.steps[1]
            cut = None if late else life.steps[0]
        history = [row for row in history if cut is None or row[1] < cut]
        history += [(number, step) for step in life.steps]
    return history


@st.composite
def histories(draw: st.DrawFn) -> list[Life]:
    """Lives without holes: each begins somewhere in what is known, or right behind it."""
    lives, last = list[Life](), -1
    for _ in range(draw(st.integers(1, 6))):
        first, count = draw(st.integers(0, last + 1)), draw(st.integers(0, 8))
        kind = draw(st.sampled_from(["goes on", "late row", "rewinds", "is ordered", "cuts nothing"]))
        steps = tuple(range(first, first + count))
        if kind == "late row":
            lives.append(Life((first, *range(last + 1, last + 1 + count))))
            last = max(last, last + count) if count else first if lives[1:] else max(last, first)
        elif kind == "rewinds":
            lives.append(Life(steps, rewound=first))
            last = first + count - 1
        elif kind == "is ordered":
            lives.append(Life(steps, rewound=draw(st.none() | st.integers(0, 9)), ordered=first))
            last = first + count - 1
        elif kind == "cuts nothing":
            lives.append(Life(steps, ordered=-1))
            last = max(last, first + count - 1) if count else last
        else:
            lives.append(Life(steps))
            last = first + count - 1 if count else last
        last = max((step for _, step in told(lives)), default=-1)
    return lives


@given(histories())
def test_what_shows_is_what_is_left_when_each_attempt_strikes_out_what_it_repeats(lives: list[Life]) -> None:
    assert shown(lives) == told(lives)


@given(histories())
def test_the_last_step_is_the_greatest_that_shows_or_where_a_rewind_left_it(lives: list[Life]) -> None:
    greatest = max((step for _, step in told(lives)), default=NO_STEP)
    rewinds = [life.rewound for life in lives if life.rewound is not None]
    rewinds += [life.ordered for life in lives if life.ordered is not None]
    assert greatest <= last_step(links_of(lives)) <= max([greatest, *[step - 1 for step in rewinds]])


steps = st.integers(-5, 40)
any_lives = st.lists(
    st.builds(
        Life,
        steps=st.lists(steps, max_size=6).map(tuple),
        rewound=st.none() | steps,
        ordered=st.none() | steps,
    ),
    max_size=6,
)


@given(any_lives)
def test_no_life_however_odd_hides_its_own_rows_or_any_of_a_later_one(lives: list[Life]) -> None:
    found, cuts = visible(links_of(lives)), cuts_of(links_of(lives))
    assert [one.attempt_id for one in found] == [f"a{number}" for number in range(len(lives))]
    for number, one in enumerate(found):
        later = [cut for cut in cuts[number + 1 :] if cut is not None]
        assert one.limit == min(later, default=None)


def test_a_job_preempted_three_times_beyond_its_checkpoint_has_one_continuous_history() -> None:
    first = Life(tuple(range(1235)))
    again = Life(tuple(range(1001, 1235)))
    done = Life(tuple(range(1001, 1501)))
    lives = [first, again, again, done]
    rows = shown(lives)
    assert [step for _, step in rows] == list(range(1501))
    assert {number for number, step in rows if step > 1000} == {3}
    assert {number for number, step in rows if step <= 1000} == {0}
    assert last_step(links_of(lives)) == 1500
    assert visible(links_of(lives))[:3] == [Visible("a0", 1001), Visible("a1", 1001), Visible("a2", 1001)]


@pytest.mark.parametrize(
    ("first_steps", "cut"),
    [
        ((1001,), 1001),
        ((1001, 1002), 1001),
        ((1235, 1236), 1235),
        ((1000, 1235), None),
        ((1234, 1235), None),
        ((1000, 1234), 1000),
        ((1000, 1000), 1000),
        ((0, 1), 0),
        ((), None),
    ],
)
def test_a_first_row_cuts_unless_the_next_shows_that_it_was_only_late(
    first_steps: tuple[int, ...], cut: int | None
) -> None:
    assert cut_of(Link("b", "a", first_steps, 2000), 1234) == cut


def test_an_attempt_without_parent_cuts_nothing_by_its_rows() -> None:
    assert cut_of(Link("b", None, (5, 6), 6), 1234) is None


@pytest.mark.parametrize(
    ("rewound", "ordered", "cut"),
    [(7, None, 7), (0, None, 0), (7, 3, 3), (7, -1, None), (None, -1, None), (None, 0, 0)],
)
def test_a_rewind_wins_over_the_first_row_and_an_order_by_hand_over_both(
    rewound: int | None, ordered: int | None, cut: int | None
) -> None:
    assert cut_of(Link("b", "a", (1000, 1001), 1001, rewound, ordered), 1234) == cut


def test_a_rewind_without_a_row_is_where_the_run_goes_on() -> None:
    lives = [Life(tuple(range(100))), Life((), rewound=50)]
    assert last_step(links_of(lives)) == 49
    assert [step for _, step in shown(lives)] == list(range(50))


def test_a_lineage_ends_at_a_parent_that_nobody_knows() -> None:
    links = {"b": Link("b", "a", (5,), 5), "c": Link("c", "b", (6,), 6)}
    assert [link.attempt_id for link in lineage(links, "c")] == ["b", "c"]
    assert lineage(links, None) == lineage(links, "nobody") == []


def test_a_lineage_that_bites_its_tail_ends() -> None:
    links = {"a": Link("a", "b"), "b": Link("b", "a")}
    assert [link.attempt_id for link in lineage(links, "b")] == ["a", "b"]
    assert [link.attempt_id for link in lineage({"a": Link("a", "a")}, "a")] == ["a"]


def test_a_branch_does_not_show() -> None:
    links = {"a": Link("a", None, (0,), 9), "b": Link("b", "a", (5,), 9), "c": Link("c", "a", (7,), 9)}
    assert visible(lineage(links, "c")) == [Visible("a", 7), Visible("c", None)]


def test_no_rows_have_no_last_step() -> None:
    assert last_step([]) == last_step([Link("a", None), Link("b", "a")]) == NO_STEP
