"""Who may follow whom: candidates, strangers, proven successors, silence, takeover; and what never shares a run."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import Life

AUTO: dict[str, Any] = {"id": "", "resume": "true"}
HEARTBEAT = 1.0


def job(number: int, restarts: int = 0, task: int | None = None) -> dict[str, str]:
    """The environment of a batch script's process."""
    array = {"SLURM_ARRAY_JOB_ID": "700", "SLURM_ARRAY_TASK_ID": str(task)} if task is not None else {}
    count = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    return {"SLURM_JOB_ID": str(number), "SLURM_CLUSTER_NAME": "c", "ENVIRONMENT": "BATCH", **array, **count}


@pytest.fixture
def site(site: Site) -> Site:
    site.node.configure(heartbeat=HEARTBEAT)
    return site.open()


def run_of(life: Life) -> str:
    return str(life.begun()["run_id"])


def refused(life: Life) -> str:
    until(lambda: not life.process.alive, "a refusal", 60, life.process.words)
    assert life.facts is not None, life.process.words()
    return str(life.facts.get("refused", ""))


def test_two_seeds_in_one_job_are_two_runs_in_each_of_its_lives(site: Site) -> None:
    first = [site.node.rows(steps=10**6, pace=0.01, environ=job(1), **AUTO).reach(5) for _ in range(2)]
    runs = [run_of(life) for life in first]
    assert len(set(runs)) == 2
    for life in first:
        life.process.kill()
    again = [site.node.rows(steps=10**6, pace=0.01, environ=job(1, 1), **AUTO).reach(20) for _ in range(2)]
    assert sorted(map(run_of, again)) == sorted(runs)
    assert all(life.begun()["resumed"] for life in again)
    for life in again:
        life.process.kill()


def test_tasks_of_an_array_that_start_in_one_folder_share_nothing(site: Site) -> None:
    lives = [site.node.rows(steps=20, environ=job(701 + task, task=task), **AUTO) for task in range(3)]
    for life in lives:
        assert life.process.wait(60) == 0, life.process.words()
    assert len({run_of(life) for life in lives}) == 3


def test_an_attach_that_dies_before_its_first_row_changes_nothing(site: Site) -> None:
    first = site.node.rows(steps=50, end="raise")
    first.process.wait(60)
    candidate = site.node.rows(steps=0, end="hang")
    assert candidate.begun()["step"] == 50
    candidate.process.kill()
    again = site.node.rows(steps=60)
    assert again.process.wait(60) == 0, again.process.words()
    assert again.begun()["step"] == 50
    run = site.drained()
    history = site.view.history(PROJECT, RUN)
    assert [row["_step"] for row in history] == list(range(60))
    states = [attempt["state"] for attempt in run["attempts"]]
    assert (states[0], states[-1]) == ("failed", "finished")


def test_a_live_head_refuses_a_stranger_and_names_the_ways_out(site: Site) -> None:
    first = site.node.rows(steps=10**6, pace=0.01).reach(5)
    said = refused(site.node.train("attach.py", resume="allow"))
    for word in ("alive", str(first.process.pid), "join=True", "takeover=True", "another id"):
        assert word in said, said
    assert first.process.alive
    first.process.kill()


def test_a_live_head_yields_at_once_to_the_next_life_of_its_job_and_is_told(site: Site) -> None:
    other = site.add_node("b")
    other.configure(heartbeat=HEARTBEAT)
    site.give_keys()
    other.daemon.start()
    old = site.node.rows(steps=10**6, pace=0.01, environ=job(5), **AUTO).reach(50)
    run_id = run_of(old)
    until(lambda: (site.view.find(PROJECT, run_id) or {}).get("last_step", -1) >= 40, "rows at the hub")
    new = other.rows(steps=10**6, pace=0.01, environ=job(5, 1), **AUTO)
    facts = new.begun()
    assert (facts["run_id"], facts["resumed"]) == (run_id, True)
    new.reach(facts["step"] + 20)
    until(
        lambda: "another attempt" in "\n".join(old.process.lines()), "the old one told", 30, old.process.words
    )
    old.reach(old.last_step + 20)
    for life in (old, new):
        life.process.kill()
    run = site.drained(run_id=run_id)
    first, second = run["attempts"]
    # The scheduler's word is that the first life is over: it keeps the name of its death.
    assert (first["state"], second["parent"]) == ("crashed", first["attempt_id"])
    history = site.view.history(PROJECT, run_id)
    assert [row["_step"] for row in history] == list(range(len(history)))
    later = [row["_step"] for row in site.view.history(PROJECT, run_id, every=True) if row.get("_hidden")]
    assert later, "what the old one logged after it was told lies beside the history"


@pytest.mark.slow
def test_who_waits_out_a_silence_goes_on(site: Site) -> None:
    other = site.add_node("b")
    other.configure(heartbeat=20.0)
    site.give_keys()
    other.daemon.start()
    old = site.node.rows(steps=10**6, pace=0.01).reach(50)
    until(lambda: (site.view.find(PROJECT, RUN) or {}).get("last_step", -1) >= 40, "rows at the hub")
    site.node.daemon.kill()
    old.process.kill()
    new = other.rows(steps=10**6, pace=0.01)
    facts = new.begun(100)
    assert facts["resumed"]
    assert "Waiting" in "\n".join(new.process.lines())
    new.process.kill()


def test_a_guest_that_ran_ahead_moves_no_step_and_its_rows_stay(site: Site) -> None:
    trainer = site.node.rows(steps=10**6, pace=0.02).reach(10)
    other = site.add_node("b")
    site.give_keys()
    other.daemon.start()
    until(lambda: (site.view.find(PROJECT, RUN) or {}).get("last_step", -1) >= 5, "rows at the hub")
    guests = [node.train("rows.py", join=1, steps=5000 + at) for at, node in enumerate((site.node, other))]
    for guest in guests:
        assert guest.process.wait(60) == 0, guest.process.words()
    trainer.process.kill()
    trainer.process.wait()
    last = trainer.last_step
    assert last < 4000
    for node in (other, site.node):
        site.drained()
        again = node.rows(steps=last + 20)
        assert again.process.wait(60) == 0, again.process.words()
        # The last row of one that was killed may not have been noted.
        assert again.begun()["step"] in ({last + 1, last + 2} if node is other else {last + 20})
    site.drained()
    shown = [row["_step"] for row in site.view.history(PROJECT, RUN)]
    assert shown == list(range(5001))
