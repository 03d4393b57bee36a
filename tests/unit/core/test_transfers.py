"""How far uploads have come, and how fast."""

from __future__ import annotations

import pytest

from respoold.core.transfers import WINDOW, Transfers


def test_the_rate_is_that_of_what_went_lately_and_not_of_what_the_hub_had() -> None:
    moved = Transfers().turn("a", 1, now=100.0)
    assert moved.rate(100.0) is None
    moved.had(1000)
    moved.sent(50, 100.1)
    assert moved.rate(100.2) is None
    assert moved.rate(101.0) == pytest.approx(50.0)
    moved.sent(300, 110.0)
    assert moved.rate(110.0) == pytest.approx(35.0)
    assert moved.rate(100.1 + WINDOW + 1) == pytest.approx(300 / WINDOW)
    assert moved.rate(300.0) is None
    assert moved.there == 1350


def test_a_further_turn_counts_anew_what_is_there_and_keeps_the_rate() -> None:
    known = Transfers()
    known.turn("a", 1, 0.0).sent(500, 1.0)
    moved = known.turn("a", 1, 2.0)
    assert moved.there == 0
    moved.had(500)
    assert (moved.there, moved.rate(2.0)) == (500, 250.0)
    assert known.get("a", 1) is moved
    known.done("a", 1)
    assert known.get("a", 1) is None


def test_what_ends_with_its_attempt_is_forgotten() -> None:
    known = Transfers()
    known.turn("a", 1, 0.0)
    other = known.turn("b", 1, 0.0)
    known.forget("a")
    assert (known.get("a", 1), known.get("b", 1)) == (None, other)
