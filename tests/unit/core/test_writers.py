"""Several writers' ends as one attempt's, and what the hub hears of each; notices that stand."""

from __future__ import annotations

import pytest

from respool.wire.attempt import WriterFile
from respool.wire.identity import FIRST_JOINED
from respoold.core.progress import progress_of, restore_progress
from respoold.core.states import State
from respoold.core.writer import SAMPLES, End, primary_of, together
from unit.core.test_decision import a_request, an_attempt, end, join

LIVES = End(0, alive=True)


@pytest.mark.parametrize(
    ("ends", "facts"),
    [
        ([End(0, gone=True), End(1, alive=True)], (False, None, False)),
        ([End(0, ended=True, exit_code=0), End(1)], (False, None, False)),
        ([End(0, ended=True, exit_code=0), End(1, gone=True)], (True, 0, False)),
        ([End(0, ended=True, exit_code=0), End(1, ended=True, exit_code=3)], (True, 0, False)),
        ([End(0, gone=True), End(1, ended=True, exit_code=3)], (True, 3, False)),
        ([End(0, gone=True), End(1, ended=True, exit_code=0)], (False, None, True)),
        ([End(0, gone=True), End(FIRST_JOINED, joined=True, alive=True)], (False, None, True)),
        ([End(FIRST_JOINED, joined=True, gone=True)], (False, None, True)),
        ([End(FIRST_JOINED, gone=True), End(5, ended=True, exit_code=0)], (True, 0, False)),
        ([], (False, None, False)),
    ],
)
def test_an_attempt_ends_with_its_last_writer_and_as_its_primary_did(ends: list[End], facts: tuple) -> None:  # type: ignore[type-arg]
    found = together(ends)
    assert (found.ended, found.exit_code, found.gone) == facts


def test_the_primary_is_the_lowest_rank_and_one_that_joined_only_where_there_is_no_other() -> None:
    assert primary_of([FIRST_JOINED + 1, 7, 3]) == 3
    assert primary_of([FIRST_JOINED + 1]) == FIRST_JOINED + 1
    assert primary_of([]) is None


def test_the_hub_hears_of_each_writer_by_itself_and_of_the_daemons_own_nothing() -> None:
    attempt = an_attempt(a_request(1))
    join(attempt, 3, 7)
    attempt.take_writer(WriterFile(FIRST_JOINED, f"{SAMPLES}x", joined=True)).gone = True
    end(attempt, 0)
    attempt.writers[3].alive, attempt.writers[3].gone = False, True
    told = [(one.said.writer, one.said.event, one.said.explicit) for one in attempt.unreported()]
    assert told == [(0, "ended", True), (3, "gone", False)]
    attempt.note_told(attempt.unreported()[0])
    assert [one.said.writer for one in attempt.unreported()] == [3]


def test_an_end_that_finish_did_not_record_is_not_explicit() -> None:
    attempt = an_attempt(a_request(1))
    attempt.notices["spot"] = 0.0
    end(attempt, 0)
    attempt.tails[0].facts.explicit = False
    assert attempt.state is State.PREEMPTED
    attempt.tails[0].facts.explicit = True
    assert attempt.state is State.FINISHED


def test_rows_of_one_who_joined_by_wish_decide_no_cut() -> None:
    attempt = an_attempt(a_request(1), rows=0)
    join(attempt, FIRST_JOINED, 7, joined=True)
    end(attempt, 0, FIRST_JOINED)
    assert attempt.link.first_steps == ()


def test_a_restart_knows_who_was_gone_and_what_stood() -> None:
    attempt = an_attempt(a_request(1))
    join(attempt, 3, 7).gone = True
    attempt.notices["spot"] = 90.0
    attempt.note_told(attempt.unreported()[0])
    later = an_attempt(a_request(1), rows=0)
    join(later, 3, 7)
    restore_progress(later, progress_of(attempt))
    assert [later.writers[slot].gone for slot in (0, 3)] == [False, True]
    assert later.notices == {"spot": 90.0}
    assert [one.said.event for one in later.unreported()] == ["gone"]


def test_the_hub_hears_of_the_most_urgent_notice_and_of_its_end() -> None:
    attempt = an_attempt(a_request(1))

    def tell() -> list[tuple[str, str, float]]:
        told = attempt.unreported()
        for one in told:
            attempt.note_told(one)
        return [(one.said.event, one.said.source, one.said.deadline) for one in told]

    attempt.notices["maintenance"] = 0.0
    assert tell() == [("notice", "maintenance", 0.0)]
    attempt.notices["spot"] = 90.0
    assert tell() == [("notice", "spot", 90.0)]
    assert tell() == []
    del attempt.notices["spot"]
    assert tell() == [("notice", "maintenance", 0.0)]
    del attempt.notices["maintenance"]
    assert tell() == [("withdrawn", "maintenance", 0.0)]
    assert attempt.state is State.RUNNING
