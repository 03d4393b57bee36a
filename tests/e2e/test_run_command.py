"""`respool run -- CMD`: exit codes that nobody else sees, preemption told at once, a daemon where none is."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, TRAINERS, Site, respool
from e2e.truths import Life, account


def run(site: Site, *flags: str, environ: dict[str, str] | None = None, **options: Any) -> Life:
    """A trainer behind `respool run`."""
    node = site.node
    node.wrapper = [*respool("run", *flags), "--"]
    life = node.train("leaving.py", environ, **options)
    node.wrapper = []
    return life


def becomes(site: Site, state: str, seconds: float = 10) -> dict[str, Any]:
    until(lambda: site.view.state(PROJECT, RUN) == state, f"state {state}", seconds, site.words)
    shown = site.view.show(PROJECT, RUN)
    assert shown is not None
    return shown


@pytest.mark.parametrize(("end", "code"), [("exit", 3), ("system-exit", 4), ("os-exit", 5)])
def test_an_exit_code_is_recorded_however_it_came_about(site: Site, end: str, code: int) -> None:
    site.open()
    life = run(site, steps=5, end=end, code=code)
    assert life.process.wait(20) == code, life.process.words()
    shown = becomes(site, "failed")
    assert [one["exit_code"] for one in shown["attempts"]] == [code]


def test_a_preemption_is_at_the_hub_before_the_trainer_ends_and_exits_with_the_code_asked_for(
    site: Site,
) -> None:
    site.open()
    life = run(site, "--requeue-exit", "99", heed=1).reach(20)
    life.process.signal(signal.SIGUSR1)
    assert life.process.wait(20) == 99
    assert [one for one in life.remarks if one.startswith("preempting")]
    becomes(site, "preempted")
    site.drained()
    account(site.view, PROJECT, RUN, [life])


def test_a_trainer_that_knows_nothing_of_signals_is_preempted(site: Site) -> None:
    site.open()
    life = run(site).reach(20)
    life.process.signal(signal.SIGTERM)
    assert life.process.wait(20) == 128 + signal.SIGTERM
    becomes(site, "preempted")


def test_a_run_that_finishes_in_the_grace_is_finished(site: Site) -> None:
    site.open()
    life = run(site, "--requeue-exit", "99", heed=1, end="finish").reach(20)
    life.process.signal(signal.SIGUSR1)
    assert life.process.wait(20) == 0
    becomes(site, "finished")


def test_a_job_without_a_daemon_gets_one_that_sends_all_of_it(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    environ = {"RESPOOL_HUB_URL": site.hub_url, "RESPOOL_SOCKET": "", "RESPOOL_SPOOL_DIR": site.path("own")}
    life = run(site, environ=environ, steps=50, end="finish")
    assert life.process.wait(40) == 0, life.process.words()
    becomes(site, "finished", 0.5)
    assert account(site.view, PROJECT, RUN, [life]).kept == 50


def test_a_script_may_stand_between(site: Site) -> None:
    site.open()
    truth = site.path("truth", "shell")
    words = f"{sys.executable} {os.path.join(TRAINERS, 'leaving.py')} --truth={truth} --project={PROJECT} --id={RUN}"
    argv = [*respool("run", "--"), "bash", "-c", f"{words} --heed=1; true"]
    process = site.process("shell", argv, site.node.environ)
    life = Life(process.launch(), truth).reach(20)
    process.signal(signal.SIGUSR1)
    assert process.wait(20) == 128 + signal.SIGUSR1
    becomes(site, "preempted")
    assert life.remarks


def test_a_job_that_cannot_be_started_has_the_code_that_shells_give_it(site: Site) -> None:
    site.open()
    missing = site.node.call("run", "--", "no-such-command")
    assert (missing.returncode, "cannot be run" in missing.stderr) == (127, True), missing.stderr
    assert site.node.call("run", "--", os.path.dirname(__file__)).returncode == 126


def test_a_daemon_that_was_away_meanwhile_is_told_of_the_preemption_when_it_is_back(site: Site) -> None:
    site.open()
    life = run(site).reach(20)
    site.node.daemon.kill()
    life.process.signal(signal.SIGTERM)
    site.node.daemon.start()
    assert life.process.wait(30) == 128 + signal.SIGTERM
    becomes(site, "preempted")


@pytest.mark.parametrize("flags", [("--requeue-exit", "0"), ("--requeue-exit", "256"), ("--grace", "-1")])
def test_flags_that_would_hide_a_preemption_are_refused(site: Site, flags: tuple[str, str]) -> None:
    done = site.node.call("run", *flags, "--", "true")
    assert (done.returncode, f"argument {flags[0]}" in done.stderr) == (2, True), done.stderr


def test_a_second_ctrl_c_ends_the_wait_for_the_hub_and_says_what_is_not_sent(site: Site) -> None:
    site.node.daemon.environ["RESPOOL_LASTING"] = "0"
    site.open()
    life = site.node.train("leaving.py").reach(20)
    site.hub.kill()
    life.process.signal(signal.SIGINT)
    said = life.process.words
    until(lambda: "Ctrl-C ends this wait" in said(), "the wait", 20, said)
    life.process.signal(signal.SIGINT)
    life.process.wait(20)
    assert "Ctrl-C ended the wait for the hub" in said()
    assert "  waiting  " in said()
    assert "Exception ignored" not in said()
    site.hub.start()
    site.drained()
    account(site.view, PROJECT, RUN, [life])
