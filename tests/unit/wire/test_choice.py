"""Which run an auto-resume continues."""

from __future__ import annotations

from itertools import islice

import pytest

from respool.wire.choice import Choice, Standing, choose, homes, ordinals
from respool.wire.identity import FIRST_JOINED, WRITERS, joined_writer

ALIVE, FINISHED, OPEN, UNKNOWN = Standing.ALIVE, Standing.FINISHED, Standing.OPEN, Standing.UNKNOWN


@pytest.mark.parametrize(
    ("base", "remembered", "known", "expected"),
    [
        ("", "", {}, Choice("fresh", "none")),
        ("", "old", {}, Choice("old", "allow")),
        ("", "old", {"old": OPEN}, Choice("old", "allow")),
        ("", "old", {"old": ALIVE}, Choice("fresh", "none")),
        ("", "old", {"old": FINISHED}, Choice("fresh", "none")),
        ("job", "", {}, Choice("job", "allow")),
        ("job", "", {"job": OPEN}, Choice("job", "allow")),
        ("job", "", {"job": ALIVE}, Choice("job-2", "allow")),
        ("job", "", {"job": FINISHED, "job-2": ALIVE, "job-3": OPEN}, Choice("job-3", "allow")),
        ("job", "old", {}, Choice("old", "allow")),
        ("job", "old", {"job": OPEN, "old": OPEN}, Choice("job", "allow")),
        ("job", "old", {"old": ALIVE}, Choice("job", "allow")),
        ("job", "job", {"job": ALIVE}, Choice("job-2", "allow")),
    ],
)
def test_the_run_that_is_continued_is_the_first_that_nobody_runs_or_finished(
    base: str, remembered: str, known: dict[str, Standing], expected: Choice
) -> None:
    assert choose(base, remembered, "fresh", lambda run: known.get(run, UNKNOWN)) == expected


def test_ordinals_stay_short_enough_for_a_run_id() -> None:
    assert list(islice(ordinals("job"), 3)) == ["job", "job-2", "job-3"]
    assert {len(one) for one in islice(ordinals("x" * 64), 12)} == {64}
    assert len(set(islice(ordinals("x" * 64), 12))) == 12


def test_a_slot_without_a_rank_is_the_same_for_every_retry_and_another_when_it_was_taken() -> None:
    assert joined_writer("i") == joined_writer("i")
    assert joined_writer("i") != joined_writer("i", 1) != joined_writer("j")
    assert all(FIRST_JOINED <= joined_writer(str(i)) < WRITERS for i in range(200))


def test_the_launchs_attempt_is_looked_for_wherever_its_first_process_may_have_gone() -> None:
    known = {"job": FINISHED, "job-2": ALIVE}
    assert list(homes("job", "old", "fresh", lambda run: known.get(run, UNKNOWN))) == [
        "job",
        "job-2",
        "old",
        "fresh",
    ]
    assert list(homes("", "", "fresh", lambda _: UNKNOWN)) == ["fresh"]
