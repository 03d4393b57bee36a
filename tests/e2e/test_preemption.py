"""A preemption that is announced: who is told, how soon, and what the run is called after it."""

from __future__ import annotations

import os
import time

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import account

SOON = 4.0
"""Seconds: the file is looked at every two, and whoever is concerned is to know at once."""


@pytest.fixture
def noticed(site: Site) -> Site:
    """A site whose daemon takes a file for a notice."""
    site.node.configure(notice_file=site.path("going"))
    return site.open()


def announce(site: Site, seconds: float = 60.0) -> None:
    with open(site.path("part"), "w", encoding="ascii") as file:
        file.write(str(time.time() + seconds))
    os.rename(site.path("part"), site.path("going"))


def becomes(site: Site, state: str, seconds: float = SOON) -> None:
    until(lambda: site.view.state(PROJECT, RUN) == state, f"state {state}", seconds, site.words)


def test_a_notice_is_told_to_hub_and_trainer_and_a_clean_end_is_none(noticed: Site) -> None:
    life = noticed.node.train("leaving.py", heed=1, callback=1).reach(20)
    announce(noticed)
    becomes(noticed, "preempting")
    assert life.process.wait(20) == 0
    left = [text for text in life.remarks if text.startswith("preempting; ")]
    assert 50 < float(left[0].split("; ")[1]) < 60
    assert [text for text in life.remarks if text.startswith("callback at ")]
    becomes(noticed, "preempted")
    noticed.drained()
    account(noticed.view, PROJECT, RUN, [life])


def test_a_noticed_process_that_is_killed_was_preempted(noticed: Site) -> None:
    life = noticed.node.train("leaving.py").reach(20)
    announce(noticed)
    becomes(noticed, "preempting")
    life.process.kill()
    becomes(noticed, "preempted")


def test_an_explicit_finish_after_a_notice_is_a_finish(noticed: Site) -> None:
    life = noticed.node.train("leaving.py", heed=1, end="finish").reach(20)
    announce(noticed)
    assert life.process.wait(20) == 0
    becomes(noticed, "finished")


def test_a_notice_that_is_withdrawn_is_forgotten_by_hub_and_trainer(noticed: Site) -> None:
    life = noticed.node.train("leaving.py").reach(20)
    announce(noticed)
    becomes(noticed, "preempting")
    os.unlink(noticed.path("going"))
    becomes(noticed, "running")
    life.process.kill()
    becomes(noticed, "crashed")


def test_a_notice_that_is_withdrawn_while_the_daemon_is_dead_is_forgotten_too(noticed: Site) -> None:
    life = noticed.node.train("leaving.py", watch=1).reach(20)
    announce(noticed)
    life.remark("warned")
    noticed.node.daemon.kill()
    os.unlink(noticed.path("going"))
    noticed.node.daemon.start()
    life.remark("withdrawn", 20)
    becomes(noticed, "running")


def test_a_run_that_begins_while_a_notice_stands_is_told_too(noticed: Site) -> None:
    announce(noticed)
    noticed.node.train("leaving.py", heed=1)
    becomes(noticed, "preempted", 15)


def test_a_notice_outlives_the_daemon_that_heard_it(noticed: Site) -> None:
    life = noticed.node.train("leaving.py").reach(20)
    announce(noticed)
    becomes(noticed, "preempting")
    noticed.node.daemon.kill()
    os.unlink(noticed.path("going"))
    life.process.kill()
    noticed.node.daemon.start()
    becomes(noticed, "preempted", 15)
