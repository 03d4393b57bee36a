"""resume=True without an id: the script's own folder remembers which run it left unfinished."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from e2e.processes import Process
from e2e.sites import TRAINERS, Site
from e2e.truths import Life, account

PROJECT = "pattern"


def train(site: Site, die_at: int = -1, epochs: int = 40, **environ: str) -> Life:
    """One life of trainers/pattern.py, to its end; then the working copy of its checkpoint is lost."""
    node = site.node
    count = len(node.lives) + 1
    truth = site.path("truth", f"pattern-{count}")
    argv = [sys.executable, os.path.join(TRAINERS, "pattern.py"), truth, str(die_at), str(epochs)]
    process: Process = site.process(f"pattern-{count}", argv, node.environ | environ)
    process.cwd = node.work
    life = Life(process.launch(), truth)
    node.lives.append(life)
    assert process.wait(60) == (0 if die_at < 0 else -signal.SIGKILL), process.words()
    os.unlink(os.path.join(node.work, "checkpoint.tar"))
    return life


@pytest.mark.parametrize("hub", ["up", "away"])
def test_the_documented_pattern_continues_where_it_was_killed(site: Site, hub: str) -> None:
    site.open()
    lives = [train(site, die_at=10)]
    if hub == "away":
        site.drained(project=PROJECT, run_id=lives[0].begun()["run_id"])
        site.hub.kill()
    lives += [train(site, die_at=25), train(site)]
    run_id = lives[0].begun()["run_id"]
    assert [life.begun()["run_id"] for life in lives] == [run_id] * 3
    assert [life.begun()["resumed"] for life in lives] == [False, True, True]
    assert [life.begun()["step"] for life in lives] == [0, 11, 26]
    assert [life.remarks for life in lives] == [[], ["restored 10"], ["restored 25"]]
    if hub == "away":
        site.hub.start()
    run = site.drained(project=PROJECT, run_id=run_id)
    assert run["state"] == "finished"
    assert account(site.view, PROJECT, run_id, lives).history == 40


def test_after_a_clean_end_the_next_run_is_a_new_one(site: Site) -> None:
    site.open()
    first, second = train(site, epochs=3), train(site, epochs=3)
    assert first.begun()["run_id"] != second.begun()["run_id"]
    assert second.begun()["resumed"] is False


def test_a_run_begun_with_a_daemon_continues_without_one(site: Site) -> None:
    site.open()
    first = train(site, die_at=5)
    site.node.daemon.kill()
    second = train(site, epochs=8)
    assert second.begun()["run_id"] == first.begun()["run_id"]
    assert (second.begun()["resumed"], second.begun()["step"]) == (True, 6)
    site.node.daemon.start()
    run_id = first.begun()["run_id"]
    site.drained(project=PROJECT, run_id=run_id)
    account(site.view, PROJECT, run_id, [first, second])


@pytest.mark.slow
def test_a_launch_goes_on_without_daemon_and_hub_though_its_first_attempt_is_gone_from_here(
    site: Site,
) -> None:
    """The ids of a launch's attempts are counted: one that was used up must not be used again."""
    site.open()
    environ = {"RESPOOL_LAUNCH_ID": "the-one"}
    first = site.node.rows(steps=10**6, pace=0.001, environ=environ).reach(200)
    first.process.kill()
    site.drained()
    site.hub.kill()
    site.node.daemon.kill()
    second = site.node.rows(steps=first.last_step + 100, environ=environ)
    assert second.process.wait() == 0
    assert second.begun()["step"] >= first.last_step + 1
    assert second.begun()["attempt_id"] != first.begun()["attempt_id"]
    site.hub.start()
    site.node.daemon.start()
    site.drained()
    account(site.view, "e2e", "run-1", [first, second])


def test_a_launch_goes_on_without_hub_though_its_first_attempt_is_gone_from_here(site: Site) -> None:
    """As above, answered by the daemon: what it must count from is in its journal (`Journal.launches`)."""
    site.open()
    environ = {"RESPOOL_LAUNCH_ID": "the-one"}
    first = site.node.rows(steps=10**6, pace=0.001, environ=environ).reach(200)
    first.process.kill()
    site.drained()
    site.hub.kill()
    second = site.node.rows(steps=first.last_step + 100, environ=environ)
    assert second.process.wait() == 0
    assert second.begun()["step"] >= first.last_step + 1
    assert second.begun()["attempt_id"] != first.begun()["attempt_id"]
    site.hub.start()
    site.drained()
    account(site.view, "e2e", "run-1", [first, second])
