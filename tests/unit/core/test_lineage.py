"""Lineage and cuts: which rows are a run's history, against a model that keeps rows in a list."""

from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire.axes import First
from respool.wire.frames import NO_STEP
from respoold.core.lineage import Link, Reach, Visible, cut_of, last_step, lineage, placed, visible


class Life(NamedTuple):
    """An attempt as it happened: the steps it logged, and what was asked for."""

    steps: tuple[int, ...] = ()
    rewound: int | None = None
    ordered: int | None = None


def cuts_of(links: list[Link], reach: Reach | None = None) -> list[int | None]:
    return [place.cut for place in placed(links, reach)]


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


def test_what_guests_did_is_hidden_by_explicit_cuts_only() -> None:
    lives = [
        Life((0, 1, 2)),
        Life((1, 2, 3)),
        Life((2, 9), rewound=2),
        Life((4,), ordered=-1),
        Life((3,), ordered=3),
    ]
    assert [(one.limit, one.guests) for one in visible(links_of(lives))] == [
        (1, 2), (2, 2), (3, 3), (3, 3), (None, None)
    ]  # fmt: skip


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


class Logged(NamedTuple):
    """A row: its step, whether the trainer named it, and how far it was on which axes."""

    step: int
    named: bool
    axes: dict[str, float]


class Told(NamedTuple):
    """A life whose rows say how far they are."""

    rows: list[Logged]
    rewound: int | None = None
    ordered: int | None = None


def counting(rows: list[Logged], axis: str) -> list[Logged]:
    """Those that say how far they are, but for late ones."""
    found: list[Logged] = []
    for row in rows:
        if axis in row.axes and all(row.step >= before.step for before in found):
            found.append(row)
    return found


def told_links(lives: list[Told]) -> list[Link]:
    plain = links_of([Life(tuple(row.step for row in life.rows), *life[1:]) for life in lives])
    return [
        link._replace(axes={axis: first for axis in ("n", "m") if (first := first_on(life.rows, axis))})
        for link, life in zip(plain, lives, strict=True)
    ]


def first_on(rows: list[Logged], axis: str) -> First | None:
    found = [row for row in counting(rows, axis) if not row.named]
    return First(rows.index(found[0]), found[0].step, found[0].axes[axis]) if found else None


def by_hand(lives: list[Told]) -> list[tuple[int, Logged]]:
    """All rows of all lives in one list, struck out life by life in the words of the design."""
    history: list[tuple[int, Logged]] = []
    for number, life in enumerate(lives):
        cut = by_steps = None
        if life.ordered is not None:
            cut = life.ordered if life.ordered >= 0 else None
        elif life.rewound is not None:
            cut = life.rewound
        elif number and life.rows:
            greatest = last_step(told_links(lives[:number]))
            first = life.rows[0].step
            late = len(life.rows) > 1 and first <= greatest < life.rows[1].step
            by_steps = None if late else first
            cuts = [by_steps, *by_axes(lives, history, number)]
            cut = min((one for one in cuts if one is not None), default=None)
        history = [(who, row) for who, row in history if cut is None or row.step < cut]
        history += [(number, row) for row in life.rows]
    return history


def by_axes(lives: list[Told], history: list[tuple[int, Logged]], number: int) -> list[int]:
    firsts: dict[int, dict[str, float]] = {}
    for axis in ("n", "m"):
        first = first_on(lives[number].rows, axis)
        if first:
            firsts.setdefault(first.seq, {})[axis] = first.value
    cuts = []
    for values in firsts.values():
        reached = []
        for axis, value in values.items():
            for who in range(number):
                far = [row.step for row in counting(lives[who].rows, axis) if row.axes[axis] >= value][:1]
                shown = [row.step for one, row in history if one == who]
                if far and far[0] in shown:
                    reached.append(far[0])
                    break
        cuts += [max(reached)] if reached else []
    return cuts


def reach_of(lives: list[Told]) -> Reach:
    def reach(attempt_id: str, axis: str, value: float) -> int | None:
        rows = counting(lives[int(attempt_id[1:])].rows, axis)
        return next((row.step for row in rows if row.axes[axis] >= value), None)

    return reach


far = st.dictionaries(st.sampled_from(["n", "m"]), st.integers(0, 25), max_size=2)
told_lives = st.lists(
    st.builds(
        Told,
        rows=st.lists(st.builds(Logged, st.integers(0, 25), st.booleans(), far), max_size=7),
        rewound=st.none() | st.none() | st.integers(0, 25),
        ordered=st.none() | st.none() | st.integers(-1, 25),
    ),
    max_size=5,
)


@given(told_lives)
def test_what_shows_with_axes_is_what_is_left_when_all_rows_are_looked_at(lives: list[Told]) -> None:
    found = visible(told_links(lives), reach_of(lives))
    shown = [
        (number, row)
        for number, (life, one) in enumerate(zip(lives, found, strict=True))
        for row in life.rows
        if one.limit is None or row.step < one.limit
    ]
    assert shown == by_hand(lives)


@given(told_lives)
def test_no_axis_moves_the_last_step(lives: list[Told]) -> None:
    links, last = told_links(lives), NO_STEP
    for link, cut in zip(links, cuts_of(links, reach_of(lives)), strict=True):
        last = max(last if cut is None else min(last, cut - 1), link.last_step)
    assert last == last_step(links)


def trained(first_step: int, numbers: Iterable[int], **more: float) -> Told:
    """A life of a trainer that never names a step."""
    return Told([Logged(first_step + at, False, {"n": n, **more}) for at, n in enumerate(numbers)])


def test_a_trainer_that_never_names_a_step_hides_what_it_trains_again() -> None:
    lives = [trained(0, range(1235)), trained(1235, range(1001, 1101)), trained(1335, range(901, 1501))]
    found = visible(told_links(lives), reach_of(lives))
    assert [one.limit for one in found] == [901, 901, None]
    assert [row.axes["n"] for _, row in by_hand(lives)] == [*range(1501)]


def test_an_epoch_that_began_before_the_checkpoint_is_not_hidden_from_its_start() -> None:
    def epochs(numbers: range) -> list[dict[str, float]]:
        return [{"n": n, "m": n // 100} for n in numbers]

    lives = [
        Told([Logged(n, False, values) for n, values in enumerate(epochs(range(400)))]),
        Told([Logged(400 + at, False, values) for at, values in enumerate(epochs(range(350, 380)))]),
    ]
    assert cuts_of(told_links(lives), reach_of(lives)) == [None, 350]


def test_validation_rows_on_an_axis_of_their_own_do_not_keep_the_training_rows() -> None:
    first = [Logged(n, False, {"m": n // 10} if n % 10 == 9 else {"n": n}) for n in range(40)]
    again = [
        Logged(40 + at, False, {"m": n // 10} if n % 10 == 9 else {"n": n})
        for at, n in enumerate(range(25, 40))
    ]
    lives = [Told(first), Told(again)]
    assert cuts_of(told_links(lives), reach_of(lives)) == [None, 25]


@pytest.mark.parametrize(
    ("rewound", "ordered", "cut"), [(None, None, 50), (80, None, 80), (80, 90, 90), (None, -1, None)]
)
def test_a_rewind_and_an_order_win_over_an_axis(
    rewound: int | None, ordered: int | None, cut: int | None
) -> None:
    again = trained(100, range(50, 60))._replace(rewound=rewound, ordered=ordered)
    lives = [trained(0, range(100)), again]
    assert cuts_of(told_links(lives), reach_of(lives)) == [None, cut]


def test_rows_whose_step_was_named_and_late_rows_do_not_speak_for_an_axis() -> None:
    named = Told([Logged(100, True, {"n": 3}), Logged(101, False, {"n": 100})])
    assert cuts_of(
        told_links([trained(0, range(100)), named]), reach_of([trained(0, range(100)), named])
    ) == [
        None,
        100,
    ]
    late = Told([*trained(0, range(50)).rows, Logged(3, True, {"n": 70}), *trained(50, range(50, 100)).rows])
    lives = [late, trained(100, range(60, 65))]
    assert cuts_of(told_links(lives), reach_of(lives)) == [None, 60]
