"""Lives that name no step and were told wrong where the run is: two nodes, neither of which sees the hub."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from respool.wire.axes import First
from respool.wire.frames import NO_STEP
from respoold.core.lineage import Link, last_step, placed, visible

SHOWN = ((range(10), 0), (range(10, 20), 12), (range(20, 47), 25))


class Told(NamedTuple):
    """A life that names no step: it counts on from what it was told, and repeats nothing or tells so on an axis."""

    rows: int
    told: int
    floats: bool = False
    base: int = 0
    axis: int = 0

    def link(self, number: int) -> Link:
        return Link(
            f"a{number}",
            f"a{number - 1}" if number else None,
            tuple(range(self.told, self.told + min(self.rows, 2))),
            self.told + self.rows - 1 if self.rows else NO_STEP,
            axes={"x": First(1, self.told, self.axis)} if self.rows else {},
            named=False,
            floats=self.floats,
            base=self.base,
        )


def joined(lives: list[Told]) -> list[tuple[int, int]]:
    """(step, what the axis says) of each row that shows."""

    def reach(attempt_id: str, _: str, value: float) -> int | None:
        life = lives[int(attempt_id[1:])]
        at = max(0, int(value) - life.axis)
        return life.told + at if at < life.rows else None

    found = visible([life.link(number) for number, life in enumerate(lives)], reach)
    return [
        (step + one.shift, life.axis + step - life.told)
        for life, one in zip(lives, found, strict=True)
        for step in range(life.told, life.told + life.rows)
        if one.limit is None or step < one.limit
    ]


def test_a_life_that_nobody_could_tell_where_the_run_is_comes_behind_it_whatever_it_counts_from() -> None:
    lives = [Told(22, 0), Told(23, 0, floats=True, axis=10), Told(27, 22, floats=True, axis=20)]
    first, second, third = ([(step + by, step) for step in steps] for steps, by in SHOWN)
    assert joined(lives) == first + second + third
    assert last_step([life.link(number) for number, life in enumerate(lives)]) == 71


def test_who_continues_a_shifted_life_is_shifted_as_far_as_it_was_not_when_it_was_told() -> None:
    first, second = Told(20, 0), Told(10, 0, floats=True, axis=20)
    offline, online = Told(5, 10, axis=30), Told(5, 30, base=20, axis=30)
    early = Told(5, 10, base=0, axis=30)
    for third in (offline, online, early):
        assert joined([first, second, third]) == [(step, step) for step in range(35)]


def test_a_life_without_rows_leaves_it_to_the_next_to_be_shifted() -> None:
    lives = [Told(20, 0), Told(0, 0, floats=True, axis=20), Told(5, 0, axis=20)]
    assert joined(lives) == [(step, step) for step in range(25)]


def test_one_that_names_its_steps_is_where_it_says() -> None:
    links = [Told(20, 0).link(0), Told(5, 3, floats=True).link(1)._replace(named=True, axes={})]
    assert [(one.limit, one.shift) for one in visible(links)] == [(3, 0), (None, 0)]
    rewound = links[1]._replace(named=False, rewound=4)
    assert [(one.limit, one.shift) for one in visible([links[0], rewound])] == [(4, 0), (None, 0)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), min_size=1, max_size=6))
def test_the_history_is_what_was_trained_whoever_was_told_what(lives: list[tuple[int, int, bool]]) -> None:
    chain: list[Told] = []
    trained: list[int] = []
    for rows, again, floats in lives:
        at = max(0, len(trained) - again)
        links = [life.link(index) for index, life in enumerate(chain)]
        shift = placed(links)[-1].shift if links else 0
        told = again if floats else last_step(links) + 1 if last_step(links) != NO_STEP else 0
        chain.append(Told(rows, told, floats and bool(chain), 0 if floats else shift, at))
        trained = [*trained[:at], *range(at, at + rows)] if rows else trained
    found = joined(chain)
    assert [number for _, number in sorted(found)] == trained
    assert len({step for step, _ in found}) == len(found)
