"""A daemon that stands still (SIGSTOP) is noticed by nobody who logs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import account

SLOWEST = 2.0
"""Seconds that one log() may take on a busy machine: far less than any timeout there is."""


def slowest(remark: str) -> float:
    return float(remark.rpartition(" ")[2])


@pytest.mark.slow
def test_logging_does_not_wait_for_a_stopped_daemon(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=40_000, pace=0.0, end="hang", hang_at=-1, every=0)
    life.reach(100)
    site.node.daemon.pause()
    begin, began = life.last_step, time.monotonic()
    done = life.remark("done", 60)
    assert begin < 39_000, "it was over before the daemon stood still"
    assert time.monotonic() - began < 20
    assert slowest(done) < SLOWEST
    life.process.kill()
    site.node.daemon.signal(signal.SIGCONT)
    site.drained()
    assert account(site.view, PROJECT, RUN, [life]).kept == 40_000


def test_two_thousand_rows_beside_a_stopped_daemon_take_no_time(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=10**7, pace=0.001).reach(50)
    site.node.daemon.pause()
    begin, began = life.last_step, time.monotonic()
    life.reach(begin + 2_000)
    assert time.monotonic() - began < 2_000 * 0.001 + 5
    life.process.kill()
    site.node.daemon.kill()
    site.node.daemon.start()
    site.drained()
    account(site.view, PROJECT, RUN, [life])


def test_a_full_segment_beside_a_stopped_daemon_is_no_end(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=12_000, pad=2000, pace=0.0001).reach(100)
    site.node.daemon.pause()
    done = life.remark("done", 60)
    assert slowest(done) < SLOWEST
    site.node.daemon.kill()
    site.node.daemon.start()
    assert life.process.wait() == 0
    assert site.drained()["lost"] == 0
    assert account(site.view, PROJECT, RUN, [life]).kept == 12_000


def test_a_run_begun_beside_a_stopped_daemon_goes_to_its_own_spool(site: Site) -> None:
    site.open()
    site.node.daemon.pause()
    life = site.node.rows(steps=200)
    assert life.begun()["init_seconds"] < 7
    assert "does not answer" in "\n".join(life.process.lines())
    assert life.process.wait() == 0
    site.node.daemon.signal(signal.SIGCONT)
    site.drained()
    assert account(site.view, PROJECT, RUN, [life]).kept == 200


def test_a_stopped_daemon_costs_saves_one_second_in_all(site: Site) -> None:
    site.open()
    code = (
        "import os, signal, sys, time, respool\n"
        f"run = respool.init(project={PROJECT!r}, id={RUN!r})\n"
        "run.log({'x': 1}); open('f', 'w').write('one')\n"
        "os.kill(int(sys.argv[1]), signal.SIGSTOP)\n"
        "begin = time.monotonic()\n"
        "kept = [run.save('f') for _ in range(4)]\n"
        "took = time.monotonic() - begin\n"
        "os.kill(int(sys.argv[1]), signal.SIGCONT)\n"
        "run.finish(); print(kept, round(took, 2)); sys.exit(took > 4)\n"
    )
    argv = [sys.executable, "-c", code, str(site.node.daemon.pid)]
    done = subprocess.run(
        argv, env=site.node.environ, cwd=site.node.work, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("[['f'], ['f'], ['f'], ['f']]")
    site.drained()
    assert site.view.file(PROJECT, RUN, "f") == b"one"


def test_a_run_resumed_while_its_killed_daemon_comes_back_continues(site: Site) -> None:
    site.open()
    first = site.node.rows(steps=30, end="hang").reach(29)
    first.process.kill()
    site.node.daemon.kill()
    second = site.node.rows(steps=60, resume="allow")
    until(lambda: any("was killed" in line for line in second.process.lines()), "the trainer waits")
    site.node.daemon.start()
    assert second.process.wait() == 0, second.process.words()
    run = site.drained()
    assert [(one["number"], one["parent"] is not None) for one in run["attempts"]] == [(1, False), (2, True)]
    assert [row["_step"] for row in site.view.history(PROJECT, RUN)] == list(range(60))
