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
    equal = sum(same(row, expected.get(row.get("_step", -1))) for row in history)
    return [
        Claim(
            f"{count(len(set(found)))} of {count(steps)} steps are in the history",
            set(found) == set(range(steps)),
        ),
        Claim(f"{count(len(found) - len(set(found)))} steps are there twice", len(found) == len(set(found))),
        Claim("the steps are in order", found == sorted(found, key=lambda step: (step is None, step))),
        Claim(
            f"{count(equal)} of {count(len(history))} rows hold the values that were logged", equal == steps
        ),
    ]


def record_claims(truths: Sequence[Sequence[Logged]], records: Iterable[Row]) -> list[Claim]:
    """Of all records: each row of each attempt is there once, those that were replaced later too.

    A killed trainer may have logged one row more than it could note down.
    """
    wanted = Counter((number, row.step) for number, truth in enumerate(truths, 1) for row in truth)
    kept = Counter((row.get("_attempt"), row.get("_step")) for row in records if "loss" in row)
    arrived = sum(min(kept[key], 1) for key in wanted)
    total, extra = sum(wanted.values()), len(kept) - arrived
    return [
        Claim(f"{count(arrived)} of {count(total)} rows arrived whose log() had returned", arrived == total),
        Claim(
            f"{count(sum(kept.values()) - len(kept))} of them arrived twice", len(kept) == sum(kept.values())
        ),
        Claim(f"{count(extra)} more were logged and not noted down in time", extra < len(truths)),
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
