"""Counting: does the hub hold what the trainers logged, each row once, each value equal? Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from respoold.cli.demo.truth import Logged
from respoold.cli.words import count

Row = dict[str, Any]


class Claim(NamedTuple):
    """Something that must be so, whether it is, and the numbers."""

    text: str
    holds: bool


def history_claims(truths: Sequence[Sequence[Logged]], history: Sequence[Row], steps: int) -> list[Claim]:
    """Of the history: every step once, in order, with the values that the last attempt logged there."""
    expected: dict[int, Logged] = {}
    for truth in truths:
        expected.update({row.step: row for row in truth})
    found = [row.get("_step") for row in history]
    there, twice = len(set(found) & set(range(steps))), len(found) - len(set(found))
    strange = len(set(found) - set(range(steps)))
    ordered = found == sorted(found, key=lambda step: (step is None, step))
    equal = sum(same(row, expected.get(row.get("_step", -1))) for row in history)
    return [
        Claim(f"{count(there)} of {count(steps)} steps are in the history", there == steps and not strange),
        Claim(f"{none_or(twice, 'step is', 'steps are')} there twice", not twice),
        Claim("they are in order" if ordered else "they are not in order", ordered),
        Claim(f"{count(equal)} of {count(steps)} rows hold what was logged, to the last bit", equal == steps),
    ]


def none_or(number: int, one: str, several: str) -> str:
    """`no step is`, `1 step is`, `7 steps are`."""
    return f"{count(number) if number else 'no'} {several if number > 1 else one}"


def record_claims(truths: Sequence[Sequence[Logged]], records: Iterable[Row]) -> list[Claim]:
    """Of all records: each row of each attempt is there once, those that were replaced later too.

    A killed trainer may have logged one row more than it could note down.
    """
    wanted = Counter((number, row.step) for number, truth in enumerate(truths, 1) for row in truth)
    kept = Counter((row.get("_attempt"), row.get("_step")) for row in records if "loss" in row)
    arrived = sum(min(kept[key], 1) for key in wanted)
    total, extra, twice = sum(wanted.values()), len(kept) - arrived, sum(kept.values()) - len(kept)
    return [
        Claim(f"{count(arrived)} of {count(total)} rows arrived whose log() had returned", arrived == total),
        Claim(f"{none_or(twice, 'row', 'rows')} arrived twice, replaced ones counted too", not twice),
        Claim(
            f"{none_or(extra, 'row is', 'rows are')} there that nobody could note in time",
            extra < len(truths),
        ),
    ]


def same(row: Row, logged: Logged | None) -> bool:
    """Equal to the last bit: JSON keeps a float's shortest exact spelling."""
    return logged is not None and row.get("loss") == logged.loss and row.get("accuracy") == logged.accuracy


def repeated(truths: Sequence[Sequence[Logged]]) -> tuple[int, int]:
    """How many steps were trained twice, and how many of them came out equal."""
    before: dict[int, Logged] = {}
    equal: list[bool] = []
    for row in chain.from_iterable(truths):
        if row.step in before:
            equal.append(before[row.step] == row)
        before[row.step] = row
    return len(equal), sum(equal)
