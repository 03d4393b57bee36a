"""The resume table: each mode with a run that exists and one that does not, the hub reachable."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, Site


def attach(site: Site, run_id: str, **options: Any) -> dict[str, Any]:
    """What one process was answered, after its end."""
    life = site.node.train("attach.py", id=run_id, **options)
    assert life.process.wait() == 0, life.process.words()
    facts = life.facts
    assert facts is not None, life.process.words()
    facts["said"] = "\n".join(life.process.lines())
    return facts


def exists(site: Site, run_id: str) -> dict[str, Any]:
    """A run with the steps 0 to 2, finished."""
    facts = attach(site, run_id, resume="never")
    kept = facts["run_id"]
    until(lambda: site.view.state(PROJECT, kept) == "finished", "the first attempt finished", why=site.words)
    return facts


def attempts(site: Site, run_id: str, count: int) -> list[dict[str, Any]]:
    run = site.drained(run_id=run_id)
    assert len(run["attempts"]) == count
    return list(run["attempts"])


@pytest.mark.parametrize("resume", ["none", "allow", "never", "true"])
def test_a_run_that_does_not_exist_is_created(shared: Site, resume: str) -> None:
    run_id = f"new-{resume}"
    facts = attach(shared, run_id, resume=resume)
    assert (facts["resumed"], facts["step"]) == (False, 0)
    assert attempts(shared, run_id, 1)[0]["parent"] is None


def test_must_without_a_run_is_an_error_that_names_run_hub_and_way_out(shared: Site) -> None:
    facts = attach(shared, "nowhere", resume="must")
    for word in ("nowhere", PROJECT, shared.hub_url, "allow"):
        assert word in facts["refused"]
    assert shared.view.find(PROJECT, "nowhere") is None


@pytest.mark.parametrize("resume", ["allow", "must"])
def test_a_run_that_exists_is_resumed(shared: Site, resume: str) -> None:
    run_id = f"old-{resume}"
    first = exists(shared, run_id)
    facts = attach(shared, run_id, resume=resume)
    assert (facts["resumed"], facts["step"], facts["config"]) == (True, 3, {"lr": 0.1})
    assert facts["summary"]["value"]
    second = attempts(shared, run_id, 2)[1]
    assert second["parent"] == first["attempt_id"]
    assert [row["_step"] for row in shared.view.history(PROJECT, run_id)] == [0, 1, 2, 3, 4, 5]


def test_never_with_a_run_is_an_error_that_names_it_and_its_state(shared: Site) -> None:
    exists(shared, "old-never")
    facts = attach(shared, "old-never", resume="never")
    for word in ("old-never", "finished", "never"):
        assert word in facts["refused"]
    attempts(shared, "old-never", 1)


def test_without_a_mode_the_run_is_started_over_and_the_old_history_stays_readable(shared: Site) -> None:
    first = exists(shared, "old-none")
    facts = attach(shared, "old-none", resume="none", rows=2)
    assert (facts["resumed"], facts["step"]) == (False, 0)
    assert "resume='allow'" in facts["said"]
    both = attempts(shared, "old-none", 2)
    assert [one["parent"] for one in both] == [None, None]
    assert [one["on_lineage"] for one in both] == [False, True]
    assert len(shared.view.history(PROJECT, "old-none")) == 2
    assert len(shared.view.history(PROJECT, "old-none", attempt="1")) == 3
    records = shared.view.history(PROJECT, "old-none", every=True)
    assert [row["_attempt"] for row in records] == [1, 1, 1, 2, 2]
    assert first["attempt_id"] == both[0]["attempt_id"]


def test_an_id_spelt_differently_is_no_silent_merge(shared: Site) -> None:
    exists(shared, "a b")
    facts = attach(shared, "a/b", resume="allow")
    for word in ("a b", "a/b"):
        assert word in facts["refused"]
    attempts(shared, "a-b", 1)


def test_a_run_that_is_alive_is_not_entered_by_a_second_process(shared: Site) -> None:
    shared.node.rows(steps=10, id="alive", end="hang").reach(9)
    facts = attach(shared, "alive", resume="allow")
    assert "alive" in facts["refused"]
    assert "takeover=True" in facts["refused"]
