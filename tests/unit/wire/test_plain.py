"""What a logged value becomes: something msgpack can hold, whatever it was, and in bounded time."""

import array
import datetime as dt
import math
import pathlib
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respool.wire import codec

numpy = pytest.importorskip("numpy")


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class Endless:
    def item(self) -> Any:
        return self


class Fails:
    size = 1

    def item(self) -> Any:
        raise ValueError("on another device")

    def __repr__(self) -> str:
        return "Fails()"


def plain(value: Any) -> tuple[Any, list[str]]:
    told: list[str] = []
    made = codec.plain(value, told.append)
    codec.pack(made)
    return made, told


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -(1 << 63),
        (1 << 64) - 1,
        1.5,
        math.inf,
        -math.inf,
        "",
        "a\0b",
        b"\xff",
        [],
        {},
        {"a": [1, {"b": None}]},
    ],
)
def test_plain_values_stay_what_they_are(value: Any) -> None:
    made, told = plain(value)
    assert (made, type(made), told) == (value, type(value), [])


def test_nan_stays_nan() -> None:
    assert math.isnan(plain(math.nan)[0])
    assert math.isnan(plain(numpy.float32("nan"))[0])


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (numpy.float32(0.5), 0.5),
        (numpy.float64(0.25), 0.25),
        (numpy.int64(-3), -3),
        (numpy.uint64((1 << 64) - 1), (1 << 64) - 1),
        (numpy.bool_(True), True),
        (numpy.str_("x"), "x"),
        (numpy.array(7), 7),
        (numpy.array([7.5]), 7.5),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (numpy.array([]), []),
        (numpy.datetime64("2024-05-01"), "2024-05-01"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (frozenset({3}), [3]),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (dt.date(2024, 5, 1), "2024-05-01"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (array.array("i", [1, 2]), [1, 2]),
        ({1: 2, None: 3, (1, 2): 4}, {"1": 2, "None": 3, "(1, 2)": 4}),
    ],
)
def test_what_has_a_plain_meaning_takes_it_without_a_word(value: Any, made: Any) -> None:
    found, told = plain(value)
    assert found == made
    assert type(found) is type(made)
    assert told == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (object(), "object"),
        (1j, "complex"),
        (len, "builtin_function_or_method"),
        (Fails(), "Fails"),
        (numpy.zeros(5000), "ndarray"),
        (array.array("b", bytes(5000)), "array"),
    ],
)
def test_what_has_none_becomes_its_repr_and_that_is_told(value: Any, told: str) -> None:
    made, words = plain(value)
    assert words == [told]
    assert made == repr(value)[:4096]


def test_a_repr_that_raises_costs_nothing_but_itself() -> None:
    assert plain({"a": Mute(), "b": 1}) == ({"a": "<Mute>", "b": 1}, ["Mute"])


def test_a_key_that_cannot_be_spelled_costs_nothing_but_itself() -> None:
    assert plain({Mute(): 1}) == ({"<Mute>": 1}, [])


@pytest.mark.parametrize("value", [1 << 64, -(1 << 63) - 1, 10**40])
def test_integers_beyond_sixty_four_bits_become_text(value: int) -> None:
    assert plain(value) == (str(value), [])


def test_an_integer_of_ten_thousand_digits_does_not_raise() -> None:
    made, _ = plain({"n": 10**10_000})
    assert made == {"n": "<int>"}


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_lone_surrogates_are_escaped_in_values_and_in_keys(text: str) -> None:
    made, _ = plain({text: text})
    assert made == {
        text.encode("utf-8", "backslashreplace").decode(): text.encode("utf-8", "backslashreplace").decode()
    }


def test_nesting_without_end_is_cut() -> None:
    deep: Any = []
    for _ in range(10_000):
        deep = [deep]
    made, told = plain(deep)
    assert told == ["nesting deeper than 64"]
    assert "..." in str(made)


def test_a_cycle_ends_where_it_closes() -> None:
    one: dict[str, Any] = {"n": 1}
    one["self"] = one
    assert plain(one) == ({"n": 1, "self": "..."}, ["cycle"])


def test_many_cycles_through_one_thing_take_no_longer_than_one() -> None:
    knot: list[Any] = []
    knot += [knot] * 3
    assert plain(knot) == (["..."] * 3, ["cycle"] * 3)


def test_the_same_thing_twice_side_by_side_is_no_cycle() -> None:
    shared = [1]
    assert plain([shared, shared]) == ([[1], [1]], [])


def test_an_item_that_is_itself_ends() -> None:
    assert plain(Endless())[0] == "..."


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@given(trees)
def test_whatever_becomes_plain_can_be_packed_and_is_plain_already(value: Any) -> None:
    made, _ = plain(value)
    again, told = plain(made)
    assert told == []
    assert codec.pack(again) == codec.pack(made)
    assert codec.pack(codec.unpack(codec.pack(made))) == codec.pack(made)
