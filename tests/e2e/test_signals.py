"""Daemon and hub end in order when told to, leave nothing, and are alone on what is theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site, respool
from e2e.truths import account


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_daemon_and_hub_stop_cleanly_and_remove_their_sockets(site: Site, number: signal.Signals) -> None:
    site.open()
    assert os.path.exists(site.node.socket)
    life = site.node.rows(steps=100)
    assert life.process.wait() == 0
    for process in (site.node.daemon, site.hub):
        process.signal(number)
        assert process.wait(15) == 0, process.words()
        assert len(process.lines()) <= 2, process.words()
    assert not os.path.exists(site.node.socket)
    assert not os.path.exists(site.path("hub.sock"))


def test_a_stopping_daemon_brings_what_it_has_within_its_grace(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=3_000)
    assert life.process.wait() == 0
    assert site.node.daemon.stop() == 0
    assert account(site.view, PROJECT, RUN, [life]).kept == 3_000


def test_a_daemon_stops_soon_with_a_backlog_and_without_a_hub_and_keeps_it(site: Site) -> None:
    site.open()
    site.hub.kill()
    life = site.node.rows(steps=1_000)
    assert life.process.wait() == 0
    began = time.monotonic()
    assert site.node.daemon.stop() == 0
    assert time.monotonic() - began < 8
    site.hub.start()
    site.node.daemon.start()
    site.drained()
    assert account(site.view, PROJECT, RUN, [life]).kept == 1_000


def test_a_daemon_stops_within_its_grace_while_a_run_goes_on_and_the_run_goes_on(site: Site) -> None:
    site.open()
    life = site.node.rows(steps=10**6, pace=0.001).reach(200)
    began = time.monotonic()
    assert site.node.daemon.stop() == 0
    assert time.monotonic() - began < 8
    life.reach(life.last_step + 500)
    site.node.daemon.start()
    life.process.kill()
    site.drained()
    account(site.view, PROJECT, RUN, [life])


def test_a_second_daemon_on_the_same_spool_is_refused_with_a_sentence(site: Site) -> None:
    site.open()
    other = site.path("other.sock")
    second = _once(site, "daemon", "--spool", site.node.spool, "--socket", other, "--hub", site.hub_url)
    assert second.returncode == 75
    for word in (site.node.spool, "--spool"):
        assert word in second.stderr
    assert "Traceback" not in second.stderr
    assert not os.path.exists(other)


def test_a_second_daemon_on_the_same_socket_is_refused_and_the_first_goes_on(site: Site) -> None:
    site.open()
    spool = site.path("other-spool")
    second = _once(site, "daemon", "--spool", spool, "--socket", site.node.socket, "--hub", site.hub_url)
    assert second.returncode == 75
    assert site.node.socket in second.stderr
    assert "Traceback" not in second.stderr
    assert site.node.status() is not None


def test_a_second_hub_on_the_same_socket_is_refused_and_the_first_goes_on(site: Site) -> None:
    site.open()
    second = _once(site, "hub", "--data", site.path("other-hub"), "--listen", site.hub_url)
    assert second.returncode not in {0, None}
    assert "--listen" in second.stderr
    assert "Traceback" not in second.stderr
    life = site.node.rows(steps=10)
    assert life.process.wait() == 0
    site.drained()


def test_a_second_hub_on_the_same_data_is_refused(site: Site) -> None:
    site.open()
    second = _once(
        site, "hub", "--data", site.path("hub"), "--listen", f"unix:{site.path('b.sock')}", seconds=5
    )
    assert second.returncode not in {0, None}
    assert site.path("hub") in second.stderr
    assert "Traceback" not in second.stderr


def test_a_daemon_starts_over_the_socket_of_one_that_was_killed(site: Site) -> None:
    site.open()
    site.node.daemon.kill()
    assert os.path.exists(site.node.socket)
    site.node.daemon.start()
    until(site.node.status, "an answer")


def _once(site: Site, *words: str, seconds: float = 20.0) -> subprocess.CompletedProcess[str]:
    """A command that should refuse to run; one that runs is ended, and has no returncode of its own."""
    process = subprocess.Popen(
        respool(*words), env=site.node.environ, cwd=site.root, text=True, stdout=-1, stderr=-1, stdin=-3
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        err += f"\n(it ran for {seconds:.0f} s)"
        process.returncode = 0
    return subprocess.CompletedProcess(words, process.returncode, out, err)
