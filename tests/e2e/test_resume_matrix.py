"""The resume table with real processes: every mode times what is known of the run, the hub up and the hub away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, Site
from e2e.truths import Life
from resume_matrix import BEFORE, CALL, MATRIX, ROWS, Outcome

SIDES = ("up", "away")


@pytest.fixture(scope="module", params=SIDES)
def side(request: pytest.FixtureRequest) -> Iterator[tuple[str, Site]]:
    """A site in which every case's earlier attempt has been made; then the hub goes, if it is to be away."""
    with Site() as site:
        site.node.configure(handshake=1.0, heartbeat=1.0)
        site.open()
        for resume, state in MATRIX:
            if state != "missing":
                _earlier(site, resume, state)
        if request.param == "away":
            site.hub.kill()
        yield request.param, site


def _job(resume: str, state: str) -> dict[str, Any]:
    """What names the run: an id, or with "auto" the job, which this case has for itself."""
    if resume != "auto":
        return {"id": f"{resume}-{state}", "resume": resume}
    number = 100 + [s for r, s in MATRIX if r == "auto"].index(state)
    return {"id": "", "resume": "true", "environ": {"SLURM_JOB_ID": str(number), "SLURM_CLUSTER_NAME": "c"}}


def _train(site: Site, resume: str, state: str, **more: Any) -> Life:
    job = _job(resume, state)
    return site.node.train("matrix.py", **{**job, "resume": more.pop("mode", job["resume"]), **more})


def _earlier(site: Site, resume: str, state: str) -> None:
    mode = "true" if resume == "auto" else "never"
    life = _train(site, resume, state, mode=mode, config=json.dumps(BEFORE), end=state)
    life.reach(ROWS - 1)
    if state != "running":
        life.process.wait()
    assert life.facts is not None
    run_id = life.facts["run_id"]
    until(lambda: site.view.state(PROJECT, run_id) == state, f"{run_id} {state}", why=site.words)


@pytest.mark.parametrize(("resume", "state"), MATRIX)
def test_the_table_holds(side: tuple[str, Site], resume: str, state: str) -> None:
    where, site = side
    expected: Outcome = MATRIX[resume, state]
    life = _train(site, resume, state, config=json.dumps(CALL), rows=0)
    until(lambda: not life.process.alive, "an answer", 70, life.process.words)
    facts, said = life.facts, "\n".join(life.process.lines())
    assert facts is not None, said
    if expected.kind == "refused":
        assert "refused" in facts, (facts, said)
        words = (
            expected.words
            if state != "running" or resume == "never"
            else ("alive", "join=True", "takeover=True")
        )
        assert [word for word in words if word not in facts["refused"]] == []
        return
    assert "refused" not in facts, facts
    assert (facts["step"], facts["config"]) == (expected.step, expected.config)
    assert facts["resumed"] is (expected.kind == "resumed")
    if where == "up":
        assert [word for word in expected.words if word not in said] == []
