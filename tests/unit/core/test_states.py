"""Exit states: the first and third line of the table, column by column."""

from itertools import product

import pytest

from respool.wire.limits import SILENCE_BOUND, SILENT_AFTER
from respoold.core.states import ALIVE, Facts, State, state_of

EXIT_0 = Facts(ended=True, exit_code=0)
EXIT_1 = Facts(ended=True, exit_code=1)
EXCEPTION = Facts(ended=True, exit_code=None)
GONE = Facts(gone=True)
SILENT = Facts(quiet=SILENCE_BOUND)


@pytest.mark.parametrize(
    ("column", "marked", "unmarked"),
    [
        (EXIT_0, State.FINISHED, State.FINISHED),
        (EXIT_1, State.PREEMPTED, State.FAILED),
        (EXCEPTION, State.PREEMPTED, State.FAILED),
        (GONE, State.PREEMPTED, State.CRASHED),
        (SILENT, State.PREEMPTED, State.CRASHED),
        (Facts(), State.PREEMPTING, State.RUNNING),
        (Facts(quiet=None), State.PREEMPTING, State.RUNNING),
        (Facts(quiet=SILENT_AFTER), State.SILENT, State.SILENT),
        (Facts(quiet=SILENT_AFTER - 0.1), State.PREEMPTING, State.RUNNING),
        (Facts(superseded=True), State.SUPERSEDED, State.SUPERSEDED),
    ],
)
def test_a_state_follows_from_the_facts(column: Facts, marked: State, unmarked: State) -> None:
    assert state_of(column._replace(marked=True)) is marked
    assert state_of(column._replace(marked=False)) is unmarked


@pytest.mark.parametrize("quiet", [None, 0.0, SILENT_AFTER, SILENCE_BOUND, 1e9])
def test_what_nobody_watches_is_silent_and_never_crashed(quiet: float | None) -> None:
    assert state_of(Facts(attended=False, quiet=quiet)) is State.SILENT


@pytest.mark.parametrize("end", [EXIT_0, EXIT_1, GONE])
def test_evidence_of_an_end_wins_though_nobody_watched(end: Facts) -> None:
    assert state_of(end._replace(attended=False)) is state_of(end)


def test_a_recorded_end_wins_over_everything_that_was_only_inferred() -> None:
    for marked, gone, superseded, quiet in product(
        (False, True), (False, True), (False, True), (None, 0.0, 1e9)
    ):
        facts = Facts(marked, True, 0, gone, superseded, quiet)
        assert state_of(facts) is State.FINISHED


def test_no_state_is_final_for_it_follows_from_facts_alone() -> None:
    assert state_of(SILENT) is State.CRASHED
    assert state_of(SILENT._replace(quiet=0.0)) is State.RUNNING


def test_only_who_runs_or_is_about_to_stop_holds_the_run() -> None:
    assert {State.RUNNING, State.PREEMPTING} == ALIVE
