"""What a resumed run says, once, when its first row repeats what was logged before."""

from __future__ import annotations

import pytest

import respool
from respool.retelling import ROWS

AXIS = "trainer/global_step"


@pytest.fixture
def said(daemon, capsys):
    """Resumes at step 1235, lets `act` do its work with the run, and gives the line about what is hidden."""

    def tell(act, **answer):
        summary = {"tokens": 900, AXIS: 1234}
        daemon.answer = {"resumed": True, "step": 1235, "summary": summary, "number": 3} | answer
        run = respool.init(project="p", id="r", resume="allow")
        act(run)
        run.finish()
        lines = [line for line in capsys.readouterr().err.splitlines() if "continues at" in line]
        assert len(lines) <= 1, lines
        return lines[0] if lines else None

    return tell


def logs(*rows, **options):
    def act(run):
        for row in rows:
            run.log(row, **options)

    return act


def test_steps_that_are_logged_again_are_told_with_the_command_that_undoes_it(said):
    def again(run):
        for step in (1001, 1002):
            run.log({"loss": 1.0}, step=step)

    assert said(again) == (
        "respool: run p/r continues at step 1001: what it had logged there (1001 to 1234) is hidden, not "
        "deleted; `respool lineage p/r --cut 3 none` shows it again."
    )


def test_a_trainer_that_names_no_step_is_told_by_its_own_count(said):
    line = said(logs({"lr": 1, AXIS: 1001}, {"lr": 1, AXIS: 1002}))
    assert "continues at trainer/global_step 1001: what it had logged there (1001 to 1234)" in line


def test_a_count_that_comes_with_a_later_row_is_told_of_too(said):
    line = said(logs({"lr": 1}, {"grad": 2}, {"lr": 1, AXIS: 1001}, {"lr": 1, AXIS: 1300}))
    assert "continues at trainer/global_step 1001" in line


def test_rows_without_any_count_are_soon_looked_at_no_more(daemon):
    daemon.answer = {"resumed": True, "step": 1235, "summary": {AXIS: 1234}, "number": 3}
    run = respool.init(project="p", id="r", resume="allow")
    for _ in range(ROWS + 1):
        run.log({"lr": 1})
    assert run._untold == 0
    run.finish()


def test_a_count_of_the_scripts_own_is_one_when_define_metric_names_it(said):
    def defined(run):
        run.define_metric("loss", step_metric="tokens")
        run.log({"loss": 1.0, "tokens": 900})

    assert "continues at tokens 900: what it had logged there is hidden" in said(defined)
    assert said(logs({"loss": 1.0, "tokens": 900})) is None


def test_a_rewind_is_told_too(said):
    assert "continues at step 1000" in said(lambda run: run.rewind(1000))
    assert said(lambda run: run.rewind(1235)) is None


@pytest.mark.parametrize(
    ("act", "answer"),
    [
        (logs({"loss": 1.0}), {}),
        (logs({"loss": 1.0, AXIS: 1235}), {}),
        (logs({"loss": 1.0, AXIS: 5}, step=1235), {}),
        (logs({"loss": 1.0, AXIS: 1001}), {"joined": True}),
        (logs({"loss": 1.0, AXIS: 1001}), {"writer": 1}),
        (logs({"loss": 1.0, AXIS: 1001}), {"resumed": False, "step": 0, "summary": {}}),
        (logs({"loss": 1.0, AXIS: float("nan")}), {}),
        (logs({"loss": 1.0, AXIS: 1001}), {"summary": {AXIS: "odd"}}),
    ],
)
def test_what_repeats_nothing_is_not_told(said, act, answer):
    assert said(act, **answer) is None
