"""init() starts a daemon where there is none: detached, one for all, gone when it has nothing to do."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Node, Site
from e2e.truths import account

AUTO = {"RESPOOL_SOCKET": "", "RESPOOL_AUTOSTART": "1", "RESPOOL_IDLE_EXIT": "2"}


@pytest.fixture
def node(site: Site) -> Iterator[Node]:
    """A node that has logged in and has no daemon; what was started there is gone after the test."""
    site.hub.start()
    site.give_keys()
    yield site.node
    for pid in daemons(site):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not daemons(site), "the end of the daemons")


def daemons(site: Site) -> list[int]:
    """The daemons that were started in this site by trainers."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if b"daemon" in words and any(word.startswith(site.root.encode()) for word in words):
            found.append(int(pid))
    return found


@contextmanager
def somebody_else_starts_one(node: Node) -> Iterator[None]:
    """A process that has its turn, and takes for ever."""
    folder = os.path.join(node.environ["XDG_STATE_HOME"], "respool", "log")
    os.makedirs(folder, mode=0o700)
    with open(os.path.join(folder, f"daemon-{os.uname().nodename}.log.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_daemon_is_started_outlives_the_trainer_and_leaves_when_it_has_sent_all(
    site: Site, node: Node
) -> None:
    life = node.rows(steps=10**6, pace=0.002, environ=AUTO).reach(200)
    (pid,) = daemons(site)
    assert os.getsid(pid) != os.getsid(life.process.pid)
    assert os.getpgid(pid) != os.getpgid(life.process.pid)
    with open(f"/proc/{pid}/stat", "rb") as file:
        assert int(file.read().rpartition(b")")[2].split()[1]) != life.process.pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    log = os.readlink(f"/proc/{pid}/fd/1")
    assert log.startswith(node.environ["XDG_STATE_HOME"])
    assert f"started a daemon (process {pid}, log {log})" in "\n".join(life.process.lines())
    life.process.kill()
    until(lambda: not daemons(site), "the end of an idle daemon", 30, site.words)
    account(site.view, PROJECT, RUN, [life])


def test_several_trainers_at_once_start_one_daemon(site: Site, node: Node) -> None:
    lives = [
        node.rows(steps=10**6, pace=0.005, id=f"run-{n}", environ=AUTO | {"RESPOOL_LAUNCH_ID": f"l{n}"})
        for n in range(4)
    ]
    for life in lives:
        life.reach(20)
        assert "without a daemon" not in "\n".join(life.process.lines())
    assert len(daemons(site)) == 1
    for n, life in enumerate(lives):
        life.process.kill()
        until(lambda n=n, life=life: kept(site, f"run-{n}") > life.last_step, "the rows at the hub", 30)
        account(site.view, PROJECT, f"run-{n}", [life])


@pytest.mark.slow
def test_a_daemon_that_comes_up_too_slowly_costs_a_bounded_time_and_finds_the_run_later(
    site: Site, node: Node
) -> None:
    with somebody_else_starts_one(node):
        early = node.rows(steps=50, environ=AUTO)
        assert early.process.wait() == 0
        assert 2.9 < early.begun()["init_seconds"] < 8
        assert "without a daemon" in "\n".join(early.process.lines())
    later = node.rows(steps=10, id="later", environ=AUTO)
    assert later.process.wait() == 0
    until(lambda: not daemons(site), "the end of an idle daemon", 30, site.words)
    assert account(site.view, PROJECT, RUN, [early]).kept == 50
    assert account(site.view, PROJECT, "later", [later]).kept == 10


@pytest.mark.slow
def test_a_killed_daemon_is_started_again_by_the_next_trainer(site: Site, node: Node) -> None:
    first = node.rows(steps=10**6, pace=0.002, environ=AUTO).reach(100)
    (pid,) = daemons(site)
    os.kill(pid, signal.SIGKILL)
    first.reach(first.last_step + 100)
    first.process.kill()
    second = node.rows(steps=first.last_step + 100, resume="allow", environ=AUTO)
    assert second.process.wait() == 0
    assert second.begun()["step"] >= first.last_step + 1
    until(lambda: not daemons(site), "the end of an idle daemon", 30, site.words)
    account(site.view, PROJECT, RUN, [first, second])


def kept(site: Site, run_id: str) -> int:
    run = site.view.find(PROJECT, run_id)
    return 0 if run is None else int(run["rows"])
