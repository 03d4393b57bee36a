"""Promise P3: the hub may be gone, for all of a run or in the middle; everything arrives, once and in order."""

from __future__ import annotations

import json
import signal

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import account

MOST_MEMORY = 128 << 20
"""Bytes of a daemon that keeps a backlog: the backlog is on disk, not in there."""


def keyed(site: Site) -> Site:
    """A hub that has made its key, and is gone."""
    site.hub.start()
    site.give_keys()
    assert site.hub.stop() == 0
    return site


def test_a_whole_run_without_the_hub_arrives_when_it_comes(site: Site) -> None:
    keyed(site).node.daemon.start()
    life = site.node.rows(steps=20_000, config=1)
    assert life.process.wait() == 0, life.process.words()
    waiting = until(
        lambda: (found := site.node.status()) and found["pending_records"] >= 20_000 and found, "a backlog"
    )
    assert waiting["hub_reachable"] is False
    assert waiting["runs"][0]["why"].startswith("the hub is away: no answer")
    site.hub.start()
    assert site.drained()["state"] == "finished"
    assert account(site.view, PROJECT, RUN, [life]).kept == 20_000


def test_a_backlog_survives_the_daemon_too(site: Site) -> None:
    keyed(site).node.daemon.start()
    life = site.node.rows(steps=5_000)
    assert life.process.wait() == 0
    site.node.daemon.kill()
    site.node.daemon.start()
    until(
        lambda: (site.node.status() or {}).get("pending_records", 0) >= 5_000, "the backlog", why=site.words
    )
    site.hub.start()
    site.drained()
    assert account(site.view, PROJECT, RUN, [life]).kept == 5_000


def test_a_hub_that_is_away_in_the_middle_costs_nothing(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=10**6, pace=0.001).reach(200)
    for _ in range(3):
        site.hub.kill()
        life.reach(life.last_step + 300)
        site.hub.start()
        reached = life.last_step
        until(
            lambda at=reached: ((site.view.find(PROJECT, RUN) or {}).get("last_step") or -1) >= at,
            "catching up",
            60,
        )
    life.process.kill()
    site.drained()
    account(site.view, PROJECT, RUN, [life])


def test_many_runs_wait_together_and_arrive_apart(site: Site) -> None:
    keyed(site).node.daemon.start()
    lives = {f"run-{at}": site.node.rows(id=f"run-{at}", steps=500 + at) for at in range(6)}
    for life in lives.values():
        assert life.process.wait() == 0, life.process.words()
    site.hub.start()
    for run_id, life in lives.items():
        site.drained(run_id=run_id)
        assert account(site.view, PROJECT, run_id, [life]).kept == len(life.noted)


@pytest.mark.slow
def test_a_long_backlog_is_kept_on_disk_and_not_in_memory(site: Site) -> None:
    keyed(site).node.daemon.start()
    life = site.node.rows(steps=150_000)
    while life.process.alive:
        assert site.node.daemon.rss() < MOST_MEMORY
    assert life.process.code == 0, life.process.words()
    site.hub.start()
    until(lambda: _sane(site), "everything at the hub", 90, site.words)
    assert account(site.view, PROJECT, RUN, [life]).kept == 150_000


def _sane(site: Site) -> bool:
    assert site.node.daemon.rss() < MOST_MEMORY
    status = site.node.status()
    return status is not None and not status["runs"]


def test_status_says_what_waits_for_whom_and_why_and_exits_with_one(site: Site) -> None:
    keyed(site).node.daemon.start()
    life = site.node.rows(steps=100)
    assert life.process.wait() == 0
    until(lambda: (site.node.status() or {}).get("pending_records", 0) >= 100, "a backlog")
    done = site.node.call("status", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["hub_reachable"] is False
    assert [run["run_id"] for run in told["runs"]] == [RUN]
    text = site.node.call("status").stdout
    assert "away" in text
    assert "what lies here is safe" in text


@pytest.mark.slow
def test_a_stopped_hub_stops_nobody(site: Site) -> None:
    site.open()
    life = site.node.rows(id="other", steps=10**6, pace=0.001).reach(200)
    site.hub.pause()
    second = site.node.rows(steps=2_000)
    assert second.begun(20)["init_seconds"] < 7.0, "the handshake's bound is 5 s"
    assert second.process.wait() == 0
    life.reach(life.last_step + 300)
    site.hub.signal(signal.SIGCONT)
    life.process.kill()
    for run_id, one in (("other", life), (RUN, second)):
        site.drained(90, run_id=run_id)
        account(site.view, PROJECT, run_id, [one])
