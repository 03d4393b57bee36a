"""What a run is called after its process ended, and how soon (design: exit states)."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site

AT_ONCE = 5.0
"""Seconds between a death and its name at the hub: no silence bound (300 s) may be behind it."""


def becomes(site: Site, state: str, seconds: float = AT_ONCE, run_id: str = RUN) -> dict[str, Any]:
    until(lambda: site.view.state(PROJECT, run_id) == state, f"state {state}", seconds, site.words)
    run = site.view.show(PROJECT, run_id)
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("options", "status", "state", "exit_code"),
    [
        ({"end": "finish"}, 0, "finished", 0),
        ({"end": "fall"}, 0, "finished", 0),
        ({"end": "raise"}, 1, "failed", 1),
        ({"end": "exit", "code": 3}, 3, "failed", 3),
        ({"end": "fall", "preempting": 1}, 0, "finished", 0),
        ({"end": "exit", "code": 1, "preempting": 1}, 1, "preempted", 1),
    ],
)
def test_an_end_with_an_exit_status_is_named_after_it(
    shared: Site, options: dict[str, Any], status: int, state: str, exit_code: int
) -> None:
    run_id = "-".join(map(str, options.values()))
    life = shared.node.rows(steps=10, id=run_id, **options)
    assert life.process.wait() == status, life.process.words()
    run = becomes(shared, state, run_id=run_id)
    assert [one["exit_code"] for one in run["attempts"]] == [exit_code]
    assert shared.drained(run_id=run_id)["rows"] == 10


TELLS_ENDS = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)


@pytest.mark.skipif(not TELLS_ENDS, reason="this kernel tells nobody but its parent how a process ended")
@pytest.mark.parametrize(
    ("end", "code", "state"),
    [("SystemExit", 3, "failed"), ("_exit", 4, "failed"), ("_exit", 0, "finished")],
)
def test_what_the_interpreter_forgets_of_its_end_the_kernel_tells(
    shared: Site, end: str, code: int, state: str
) -> None:
    run_id = f"{end}-{code}"
    life = shared.node.rows(steps=10, id=run_id, end=end, code=code)
    assert life.process.wait() == code, life.process.words()
    run = becomes(shared, state, run_id=run_id)
    until(lambda: shared.view.state(PROJECT, run_id) == state, "the last word", 5, shared.words)
    assert [one["exit_code"] for one in run["attempts"]] == [code]
    assert shared.drained(run_id=run_id)["state"] == state


@pytest.mark.parametrize(("preempting", "state"), [(0, "crashed"), (1, "preempted")])
def test_a_killed_process_is_named_at_once(shared: Site, preempting: int, state: str) -> None:
    run_id = f"killed-{state}"
    life = shared.node.rows(steps=10, id=run_id, end="hang", preempting=preempting).reach(9)
    if preempting:
        becomes(shared, "preempting", run_id=run_id)
    life.process.kill()
    run = becomes(shared, state, run_id=run_id)
    assert [one["exit_code"] for one in run["attempts"]] == [None]
    assert shared.drained(run_id=run_id)["rows"] == 10


def test_a_death_that_no_daemon_saw_is_named_when_one_comes_back(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=10, end="hang").reach(9)
    until(lambda: (site.view.find(PROJECT, RUN) or {}).get("rows") == 10, "ten rows at the hub")
    site.node.daemon.kill()
    life.process.kill()
    assert site.view.state(PROJECT, RUN) == "running"
    site.node.daemon.start()
    becomes(site, "crashed")
    assert site.drained()["rows"] == 10


def test_an_end_that_no_daemon_saw_keeps_its_exit_code(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=200, pace=0.01, end="exit", code=3).reach(20)
    site.node.daemon.kill()
    assert life.process.wait() == 3
    site.node.daemon.start()
    run = becomes(site, "failed")
    assert [one["exit_code"] for one in run["attempts"]] == [3]
    assert site.drained()["rows"] == 200


def test_a_run_outlives_its_daemon_without_being_called_dead(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=10**6, pace=0.01).reach(20)
    for _ in range(3):
        site.node.daemon.kill()
        site.node.daemon.start()
        reached = life.last_step
        until(
            lambda at=reached: (site.view.find(PROJECT, RUN) or {})["last_step"] > at,
            "new rows",
            20,
            site.words,
        )
        assert site.view.state(PROJECT, RUN) == "running"
    began = time.monotonic()
    life.process.kill()
    becomes(site, "crashed")
    assert time.monotonic() - began < AT_ONCE
