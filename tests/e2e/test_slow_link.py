"""From the notice to death over a slow link: rows and `preempting` at once, then checkpoints, the newest first."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from e2e.processes import Process, until
from e2e.sites import PROJECT, RUN, Site, respool
from e2e.truths import Life, account

HERE = f"10.{200 + os.getpid() % 50}.{os.getpid() % 250}.1"
ALONE = ("unshare", "--net")
LIMIT = "tbf rate 80mbit burst 64kb latency 50ms"
MIB = 1 << 20
SIZE, OLDER = 40 * MIB, 3
"""Four seconds each on that link: the older ones alone take twelve."""
DEADLINE = 30
AT_ONCE = 1.0


def cannot() -> str | None:
    """Why there can be no such link here; None when there can."""
    missing = [tool for tool in ("ip", "tc", "unshare", "nsenter") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} missing: apt-get install iproute2 util-linux"
    limit = f"ip link add one type veth peer name other && tc qdisc add dev one root {LIMIT}"
    done = subprocess.run([*ALONE, "sh", "-c", limit], capture_output=True, text=True)
    return None if done.returncode == 0 else f"no slow links can be made: {done.stderr.strip()}"


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(cannot()), reason=str(cannot()))]


@pytest.fixture
def slow() -> Iterator[Site]:
    """A node in a network of its own, the hub at the other end of 10 MB/s each way."""
    with Site(listen=f"http://{HERE}:8417") as site:
        place = site.process("place", [*ALONE, "sleep", "infinity"], dict(os.environ)).launch()
        until(lambda: _word(place) == "sleep", "a network", 10, place.words)
        inside = ["nsenter", f"--net=/proc/{place.pid}/ns/net", "--"]
        hub, node = f"rs{os.getpid()}h", f"rs{os.getpid()}n"
        _call("ip", "link", "add", hub, "type", "veth", "peer", "name", node, "netns", str(place.pid))
        for where, name, end in (([], hub, "1"), (inside, node, "2")):
            _call(*where, "ip", "address", "add", f"{HERE[:-1]}{end}/24", "dev", name)
            _call(*where, "ip", "link", "set", name, "up")
            _call(
                *where,
                "tc",
                "qdisc",
                "add",
                "dev",
                name,
                "root",
                *LIMIT.split(),
            )
        _call(*inside, "ip", "link", "set", "lo", "up")
        site.node.configure(insecure=True, heartbeat=1.0)
        site.node.daemon.argv[:0] = inside
        site.node.wrapper = [*inside, *respool("run", "--grace", str(DEADLINE)), "--"]
        try:
            yield site.open()
        finally:
            for life in site.node.lives:
                _kill(life)


def test_of_a_notice_the_hub_hears_at_once_and_of_the_newest_checkpoint_before_the_older_ones(
    slow: Site,
) -> None:
    life = slow.node.train("laden.py", size=SIZE, count=OLDER)
    life.remark(f"saved {OLDER - 1}")
    life.reach(100)
    assert slow.view.checkpoints(PROJECT, RUN) == [], "nothing had to wait"
    known = life.last_step
    life.process.signal(signal.SIGUSR1)
    began = time.monotonic()
    until(lambda: slow.view.state(PROJECT, RUN) == "preempting", "preempting", 10, slow.words)
    told = time.monotonic() - began
    until(lambda: (slow.view.find(PROJECT, RUN) or {})["last_step"] >= known, "the rows", 10, slow.words)
    brought = time.monotonic() - began
    newest = int(life.remark("last", 10).split()[1])
    steps = until(lambda: arrived(slow) or None, "a checkpoint", DEADLINE, slow.words)
    there = time.monotonic() - began
    print(f"told {told:.2f} s, rows {brought:.2f} s, checkpoint {newest} {there:.2f} s after the notice")
    assert max(told, brought) <= AT_ONCE
    assert steps == [newest]
    assert there < DEADLINE
    until(lambda: not life.process.alive, "the deadline", DEADLINE + 10)
    assert slow.node.status()
    slow.drained()
    assert arrived(slow) == [newest, *reversed(range(OLDER))]
    assert slow.view.state(PROJECT, RUN) == "preempted"
    account(slow.view, PROJECT, RUN, [life])


def test_a_script_that_marks_itself_is_heard_at_once_whatever_is_queued(slow: Site) -> None:
    life = slow.node.train("laden.py", size=SIZE, count=OLDER, mark_at=100)
    life.remark("marked")
    began = time.monotonic()
    until(lambda: slow.view.state(PROJECT, RUN) == "preempting", "preempting", 10, slow.words)
    assert time.monotonic() - began <= AT_ONCE
    assert arrived(slow) == []


def arrived(site: Site) -> list[int]:
    """The steps of the checkpoints that the hub shows, the newest first."""
    run = site.view.find(PROJECT, RUN)
    assert run is not None
    found = site.view._get(PROJECT, RUN, "/checkpoints")
    return [one["step"] for one in found["checkpoints"]]


def _kill(life: Life) -> None:
    """The trainer, whose parent may be gone."""
    with suppress(ProcessLookupError):
        os.kill(int((life.facts or {"pid": life.process.pid})["pid"]), signal.SIGKILL)


def _word(process: Process) -> str:
    with open(f"/proc/{process.pid}/comm", encoding="ascii") as file:
        return file.read().strip()


def _call(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stderr}"
