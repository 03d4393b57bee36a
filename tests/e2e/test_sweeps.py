"""Sweeps with real agents: every point is run to its end once, whatever dies on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from e2e.processes import Process, until
from e2e.sites import PROJECT, TRAINERS, Node, Site, respool

STEPS = 12


class Begun(NamedTuple):
    """What one process of a run said when it began."""

    run_id: str
    x: int
    requeued: bool
    step: int
    pid: int


def make(node: Node, points: int, pace: float = 0.1, wrapper: Sequence[str] = (), **more: Any) -> str:
    """A sweep over a grid of so many points, whose command line begins with `wrapper`."""
    flags = [f"--lives={os.path.join(node.work, 'lives')}", f"--steps={STEPS}", f"--pace={pace}"]
    config = {
        "method": "grid",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"values": list(range(points))}},
        "program": os.path.join(TRAINERS, "sweep_run.py"),
        "command": [*wrapper, "${interpreter}", "${program}", "${args}", *flags],
        **more,
    }
    path = os.path.join(node.work, "sweep.yaml")
    with open(path, "w", encoding="ascii") as file:
        json.dump(config, file)  # JSON is YAML
    done = node.call("sweep", path, "--project", PROJECT, "--max-requeues", "1000", "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["sweep_id"])


def agent(site: Site, sweep: str, number: int, *words: str) -> Process:
    """One that is not started yet."""
    node = site.node
    environ = node.environ | {"RESPOOL_HUB_URL": site.hub_url}
    process = site.process(f"agent-{number}", respool("agent", f"{PROJECT}/{sweep}", *words), environ)
    process.cwd = node.work
    return process


def shown(node: Node, sweep: str) -> dict[str, Any]:
    done = node.call("show", f"{PROJECT}/{sweep}", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def lives(node: Node) -> list[Begun]:
    try:
        with open(os.path.join(node.work, "lives"), encoding="ascii") as file:
            lines = [line.split() for line in file.read().splitlines()]
    except FileNotFoundError:
        return []
    return [
        Begun(one[0], int(one[1]), one[2] == "1", int(one[3]), int(one[4])) for one in lines if len(one) == 5
    ]


def check_whole(site: Site, sweep: str, points: int) -> dict[str, Any]:
    """Every point was run to its end once, under one id, in one history."""
    found = shown(site.node, sweep)
    runs = found["runs"]
    assert [run["parameters"]["x"] for run in runs] == list(range(points))
    assert {run["state"] for run in runs} == {"finished"}
    for run in runs:
        rows = site.view.history(PROJECT, run["run_id"])
        assert [row["_step"] for row in rows] == list(range(STEPS)), run
        assert all(row["at"] == row["_step"] for row in rows)
        states = [one["state"] for one in (site.view.show(PROJECT, run["run_id"]) or {})["attempts"]]
        assert "finished" not in states[:-1], f"{states}: what is done is not begun again"
    assert {(one.run_id, one.x) for one in lives(site.node)} == {
        (run["run_id"], run["parameters"]["x"]) for run in runs
    }
    return found


def test_an_agent_runs_every_point_and_ends_when_there_is_none_left(site: Site) -> None:
    site.open()
    sweep = make(site.node, 3, pace=0.0)
    one = agent(site, sweep, 1).launch()
    assert one.wait(60) == 0, one.words()
    site.drained(run_id=f"{sweep}-1")
    found = check_whole(site, sweep, 3)
    assert found["state"] == "finished"
    assert found["best"]["parameters"] == {"x": 2}
    text = site.node.call("show", f"{PROJECT}/{sweep}").stdout
    assert "3 of 3 done" in text


def test_a_preempted_run_is_begun_again_first_and_goes_on_where_it_was(site: Site) -> None:
    site.open()
    sweep = make(site.node, 2)
    first = agent(site, sweep, 1).launch()
    until(lambda: lives(site.node) or None, "a run at work", why=first.words)
    until(lambda: site.view.show(PROJECT, f"{sweep}-1") is not None, "its run at the hub", why=first.words)
    time.sleep(0.3)  # a few rows, so that there is something to go on from
    assert first.stop() == 128 + signal.SIGTERM, first.words()
    second = agent(site, sweep, 2).launch()
    assert second.wait(60) == 0, second.words()
    site.drained(run_id=f"{sweep}-1")
    check_whole(site, sweep, 2)
    begun = lives(site.node)
    assert [(one.x, one.requeued) for one in begun] == [(0, False), (0, True), (1, False)]
    assert begun[1].step > 0


def test_an_agent_that_cannot_start_its_command_gives_the_run_back_and_ends(site: Site) -> None:
    site.open()
    sweep = make(site.node, 2, pace=0.0, wrapper=["./here-only"])
    one = agent(site, sweep, 1).launch()
    assert one.wait(60) == 127, one.words()
    assert any("cannot be started: ./here-only cannot be run" in line for line in one.lines()), one.words()
    found = shown(site.node, sweep)
    assert [(row["state"], row["requeues"]) for row in found["runs"]] == [("queued", 0)]
    assert "1 queued" in site.node.call("show", f"{PROJECT}/{sweep}").stdout
    path = os.path.join(site.node.work, "here-only")
    with open(path, "w", encoding="ascii") as file:
        file.write('#!/bin/sh\nexec "$@"\n')
    os.chmod(path, 0o755)
    two = agent(site, sweep, 2).launch()
    assert two.wait(60) == 0, two.words()
    site.drained(run_id=f"{sweep}-2")
    check_whole(site, sweep, 2)
    assert [(one.x, one.requeued) for one in lives(site.node)] == [(0, False), (1, False)]


def test_an_agent_ends_when_all_its_runs_fail_at_once(site: Site) -> None:
    site.open()
    sweep = make(site.node, 6, command=["false", "${args}"])
    one = agent(site, sweep, 1).launch()
    assert one.wait(60) == 1, one.words()
    assert [row["state"] for row in shown(site.node, sweep)["runs"]] == ["failed"] * 5


def test_an_agent_rides_out_a_hub_that_is_away_and_gives_up_when_it_stays_away(site: Site) -> None:
    site.open()
    sweep = make(site.node, 2, pace=0.05)
    one = agent(site, sweep, 1, "--patience", "60").launch()
    until(lambda: lives(site.node) or None, "a run at work", why=one.words)
    site.hub.kill()
    time.sleep(1.5)  # the run ends, and nobody hears of it
    site.hub.start()
    assert one.wait(60) == 0, one.words()
    site.drained(run_id=f"{sweep}-2")
    check_whole(site, sweep, 2)
    site.hub.kill()
    late, patient = agent(site, sweep, 2, "--patience", "1").launch(), agent(site, sweep, 3).launch()
    assert late.wait(60) == 3, late.words()
    assert any("does not answer" in line for line in late.lines())
    until(lambda: any("Asking again" in line for line in patient.lines()), "its patience", why=patient.words)
    site.hub.start()
    assert patient.wait(60) == 0, patient.words()


@pytest.mark.slow
def test_a_sweep_that_is_cancelled_ends_its_runs(site: Site) -> None:
    site.open()
    sweep = make(site.node, 2, pace=30)
    one = agent(site, sweep, 1).launch()
    until(lambda: lives(site.node) or None, "a run at work", why=one.words)
    assert site.node.call("sweep", "--cancel", f"{PROJECT}/{sweep}").returncode == 0
    assert one.wait(60) == 0, one.words()
    assert [run["state"] for run in shown(site.node, sweep)["runs"]] == ["stopped"]


def test_a_function_is_called_for_every_point_in_one_process(site: Site) -> None:
    site.open()
    script = os.path.join(site.node.work, "function.py")
    with open(script, "w", encoding="ascii") as file:
        file.write(FUNCTION)
    process = site.process(
        "function", [sys.executable, script], site.node.environ | {"RESPOOL_HUB_URL": site.hub_url}
    )
    process.cwd = site.node.work
    assert process.launch().wait(60) == 0, process.words()
    [sweep] = {line.split()[1] for line in process.lines() if line.startswith("made ")}
    found = shown(site.node, sweep)
    assert [(run["state"], run["value"]) for run in found["runs"]] == [
        ("finished", 1.0), ("failed", None), ("finished", 3.0),
    ]  # fmt: skip
    assert "ValueError: two" in process.words()


FUNCTION = """
import respool

grid = {"method": "grid", "metric": {"name": "v", "goal": "maximize"}, "parameters": {"k": {"values": [1, 2, 3]}}}
sweep = respool.sweep(grid, project="e2e")
print("made", sweep, flush=True)

def train():
    run = respool.init(config={"k": 0})
    if run.config.k == 2:
        raise ValueError("two")
    run.log({"v": run.config.k})

respool.agent(sweep, function=train)
"""


NOTICED = """
import respool, sys, time

def train():
    run = respool.init(resume=True)
    for step in range(run.step, 300):
        run.log({"loss": step}, step=step)
        if run.preempting:
            return
        time.sleep(float(sys.argv[2]))

respool.agent(sys.argv[1], function=train, project="e2e")
"""


def test_a_function_that_returns_under_a_notice_is_requeued_and_its_agent_ends(site: Site) -> None:
    notice = site.path("notice")
    site.node.configure(notice_file=notice)
    site.open()
    sweep = make(site.node, 2)
    script = os.path.join(site.node.work, "function.py")
    with open(script, "w", encoding="ascii") as file:
        file.write(NOTICED)

    def begun(name: str, pace: str) -> Process:
        environ = site.node.environ | {"RESPOOL_HUB_URL": site.hub_url}
        process = site.process(name, [sys.executable, script, sweep, pace], environ)
        process.cwd = site.node.work
        return process.launch()

    one = begun("one", "0.05")
    until(lambda: site.view.show(PROJECT, f"{sweep}-1") is not None, "its run at the hub", why=one.words)
    with open(notice, "w", encoding="ascii") as file:
        file.write(str(int(time.time()) + 60))
    assert one.wait(60) == 0, one.words()
    until(
        lambda: [run["state"] for run in shown(site.node, sweep)["runs"]] == ["queued"],
        "requeued",
        why=one.words,
    )
    os.unlink(notice)
    two = begun("two", "0")
    assert two.wait(60) == 0, two.words()
    site.drained(run_id=f"{sweep}-1")
    found = shown(site.node, sweep)
    assert [(run["state"], run["requeues"]) for run in found["runs"]] == [("finished", 1), ("finished", 0)]
    rows = site.view.history(PROJECT, f"{sweep}-1")
    assert [row["_step"] for row in rows] == list(range(300))


DEATHS, POINTS = 40, 60
DOUBLE = 6
"""Among so many first deaths are those of agents with their runs, which come back after 45 s only."""


@pytest.mark.slow
def test_a_sweep_survives_the_deaths_of_its_agents_and_runs(site: Site) -> None:
    """Four agents, sixty points; every so many beginnings one of them, or its run, or both, die or are preempted."""
    seed = int(os.environ.get("RESPOOL_STORM_SEED") or 2026)
    print(f"seed {seed}")
    lot = random.Random(seed)
    site.open()
    sweep = make(site.node, POINTS)
    agents = [agent(site, sweep, number).launch() for number in range(4)]
    deaths, due = 0, 1
    deadline = time.monotonic() + 300
    while not any(one.code == 0 for one in agents):  # one ends well when nothing is left
        assert time.monotonic() < deadline, site.words()
        for one in agents:
            if one.code not in {None, 0}:
                one.launch()
        begun = lives(site.node)
        if len(begun) < due or deaths == DEATHS:
            time.sleep(0.1)
            continue
        time.sleep(lot.uniform(0.0, 0.8))  # somewhere in its life
        kind = lot.randrange(4 if deaths < DOUBLE else 3)
        deaths += blow(kind, lot.choice(agents), agents, begun[-1].pid)
        due = len(begun) + lot.randrange(3)
    until(
        lambda: shown(site.node, sweep)["counts"]["done"] == POINTS,
        "every run done",
        120,
        site.words,
        every=1.0,
    )
    site.drained(run_id=f"{sweep}-1", seconds=120)
    found = check_whole(site, sweep, POINTS)
    print(f"{deaths} deaths, {sum(run['requeues'] for run in found['runs'])} requeues")
    assert deaths >= DEATHS * 3 // 4
    assert sum(run["requeues"] for run in found["runs"]) >= 5


def blow(kind: int, one: Process, agents: list[Process], pid: int) -> bool:
    """Something happens to an agent, to what begun last, or to that and the agent whose run it is; whether it did."""
    if kind in {0, 1}:
        alive = one.alive
        one.signal((signal.SIGKILL, signal.SIGTERM)[kind])
        return alive
    with suppress(ProcessLookupError, FileNotFoundError):
        above = (
            [other for other in agents if other.alive and other.pid == parent_of(pid)] if at_work(pid) else []
        )
        for other in above if kind == 3 else ():
            other.signal(signal.SIGKILL)
        for _ in above:
            os.kill(pid, signal.SIGKILL)
        return bool(above)
    return False


def at_work(pid: int) -> bool:
    """Whether that process is still a run of a sweep, and no other that got its number."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"sweep_run.py" in file.read()


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])
