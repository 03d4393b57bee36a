"""Preemption by a real SLURM: jobs that are requeued go on as one run, with no more code than init(resume=True).

    apt-get install munge slurmctld slurmd slurm-client
    pytest -m slow tests/e2e/test_slurm.py

All cases are played at once, each on a node of its own: SLURM takes its time for everything.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest

from e2e.processes import Late, until
from e2e.sites import PROJECT, TRAINERS, Site, respool
from e2e.slurm_cluster import REQUEUE_EXIT, Cluster, Job, cannot
from e2e.truths import Life, account

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(cannot()), reason=str(cannot()))]

GRACE = 12
LONG_GRACE = 75
"""Long enough for a controller that is asked every 30 to 45 seconds."""
NODES = {
    "a1": 0,
    "a2": 0,
    "a3": GRACE,
    "a4": GRACE,
    "a5": 0,
    "a6": 0,
    "a7": GRACE,
    "a8": 0,
    "b1": 0,
    "p1": LONG_GRACE,
}
RUN = " ".join(respool("run"))
MORE, BACK = 30, 5


class Played(NamedTuple):
    """A job's lives, what SLURM calls it in the end, and the run as it is then."""

    lives: list[Life]
    final: str
    run: dict[str, Any]


def trainer(site: Site, name: str, *flags: str) -> str:
    """The command, the same in all lives; each life notes in a file of its own."""
    truth = f"{site.path('truth', name)}-${{SLURM_ARRAY_TASK_ID:-x}}-${{SLURM_RESTART_COUNT:-0}}"
    words = [
        sys.executable,
        os.path.join(TRAINERS, "leaving.py"),
        f"--project={PROJECT}",
        "--id=",
        "--resume=true",
    ]
    return " ".join([*words, f"--truth={truth}", f"--more={MORE}", f"--back={BACK}", "--pace=0.05", *flags])


def life(site: Site, name: str, job: Job, number: int, task: str = "x") -> Life:
    return Life(job, site.path("truth", f"{name}-{task}-{number}"))  # type: ignore[arg-type]


def follow(site: Site, name: str, job: Job, first: Life, task: str = "x") -> Played:
    """From the requeue on to the end of the second life; the first was preempted, and is called so."""
    run_id = str(first.begun()["run_id"])
    job.requeued()
    # Dead for a moment before anybody knows why, it may be called crashed till then.
    until(
        lambda: site.view.state(PROJECT, run_id) == "preempted",
        "state preempted between the lives",
        20,
        lambda: f"it is {site.view.state(PROJECT, run_id)}\n{job.words()}",
    )
    job.start_now()
    return end(site, job, [first, life(site, name, job, 1, task)])


def end(site: Site, job: Job, lives: list[Life]) -> Played:
    """The second life, to its end; no row of either is lost, and both are one history."""
    run_id = str(lives[0].begun()["run_id"])
    assert lives[1].begun(90)["run_id"] == run_id
    final = job.await_state("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", seconds=90)
    until(lambda: site.view.state(PROJECT, run_id) == "finished", "state finished", 30, job.words)
    pid = int(lives[0].begun()["pid"])
    if os.path.exists(f"/proc/{pid}"):
        os.kill(pid, signal.SIGKILL)
    until(lambda: complete(site, run_id), "all of it at the hub", 30, job.words)
    account(site.view, PROJECT, run_id, lives)
    shown = site.view.show(PROJECT, run_id)
    assert shown is not None
    return Played(lives, final, shown)


def complete(site: Site, run_id: str) -> bool:
    """Whether no daemon lists the run any more."""
    told = [node.status() for node in site.nodes]
    return all(one is not None and run_id not in {each["run_id"] for each in one["runs"]} for one in told)


def preempted(name: str, node: str, line: str, *flags: str) -> Callable[[Cluster], Played]:
    """A job whose node is taken by one of a higher partition. `line` has `{trainer}` in it."""

    def play(cluster: Cluster) -> Played:
        site = cluster.site
        job = cluster.submit(name, node, line.format(trainer=trainer(site, name, *flags)))
        first = life(site, name, job, 0).reach(20, 60)
        cluster.submit(f"{name}-high", f"{node}-high", "sleep 1")
        return follow(site, name, job, first)

    return play


def warned_early(cluster: Cluster) -> Played:
    """A signal to the batch script alone, long before the end, as of `--signal=B:USR1@600`: SLURM itself requeues
    nothing then.
    """
    site = cluster.site
    line = f"exec {RUN} --requeue -- {trainer(site, 'early', '--heed=1', '--end=finish-unless-preempting')}"
    job = cluster.submit("early", "a8", line)
    first = life(site, "early", job, 0).reach(20, 60)
    cluster.ask("scancel", "--batch", "--signal=USR1", job.name)
    return follow(site, "early", job, first)


def bare_and_warned(cluster: Cluster) -> Played:
    """Neither srun nor `respool run`: no signal in the grace, and the controller is asked."""
    return preempted("bare", "p1", "{trainer}", "--callback=1", "--end=finish")(cluster)


def node_failure(cluster: Cluster) -> Played:
    """The first life is never told, and goes on while the second runs on another node."""
    site = cluster.site
    line = f"{RUN} -- {trainer(site, 'node', '--end=finish')}"
    job = cluster.submit("node", "a7", line)
    first = life(site, "node", job, 0).reach(20, 60)
    cluster.fail("a7")
    job.requeued()
    job.start_now()
    second = life(site, "node", job, 1)
    second.begun(90)
    first.remark("superseded", 20)
    first.reach(first.last_step + 5)
    return end(site, job, [first, second])


def array(cluster: Cluster) -> list[Played]:
    """Two tasks, side by side on one node."""
    site = cluster.site
    line = f"srun {RUN} -- {trainer(site, 'array', '--end=finish')}"
    flags = ("--array=3-4", "--cpus-per-task=1")
    job = cluster.submit("array", "a5", line, flags=flags)
    tasks = {index: job.task(index) for index in (3, 4)}
    firsts = {index: life(site, "array", one, 0, str(index)).reach(20, 60) for index, one in tasks.items()}
    cluster.submit("array-high", "a5-high", "sleep 1")
    with ThreadPoolExecutor(2) as pool:
        told = [
            pool.submit(follow, site, "array", one, firsts[index], str(index)) for index, one in tasks.items()
        ]
        return [one.result() for one in told]


PREEMPTED = {
    "no srun, no grace": preempted("plain", "a1", f"{RUN} -- {{trainer}}", "--end=finish"),
    "srun inside, no grace": preempted("inside", "a2", f"{RUN} -- srun {{trainer}}", "--end=finish"),
    "srun inside, grace": preempted("inside-grace", "a3", f"{RUN} -- srun {{trainer}}", "--end=finish"),
    "srun outside, grace": preempted("outside-grace", "a4", f"srun {RUN} -- {{trainer}}", "--end=finish"),
    "srun outside, requeue exit": preempted(
        "outside-exit",
        "a6",
        f"srun {RUN} --requeue-exit {REQUEUE_EXIT} -- {{trainer}}; exit $?",
        "--end=finish",
    ),
    "warned early, requeue asked for": warned_early,
    "bare, warned by the controller": bare_and_warned,
}
OTHERS: dict[str, Callable[[Cluster], Any]] = {"node failure": node_failure, "array": array}


@pytest.fixture(scope="module")
def played() -> Iterator[dict[str, Future[Any]]]:
    """All cases, played at once."""
    with Site() as site:
        for name in ("b", "p"):
            site.add_node(name)
        for node in site.nodes:
            node.configure(heartbeat=1.0, slurm=node.name == "p")
        with started(site) as cluster:
            site.hub.start()
            site.give_keys()
            for node in site.nodes:
                node.daemon.environ["SLURM_CONF"] = cluster.conf
                node.daemon.start()
            assert site.view  # made before several threads ask for it
            cases = {**PREEMPTED, **OTHERS}
            with ThreadPoolExecutor(len(cases)) as pool:
                told = {name: pool.submit(play, cluster) for name, play in cases.items()}
                for one in told.values():
                    one.exception()
            yield told


@contextmanager
def started(site: Site) -> Iterator[Cluster]:
    """Nothing of ours has a part in it: where SLURM does not come up there is nothing to test with."""
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(Cluster(site, NODES, {"a7": "b1"}))
        except Late as error:
            pytest.skip(f"no SLURM comes up here: {str(error).splitlines()[0]}")
        yield cluster


@pytest.mark.parametrize("case", PREEMPTED)
def test_a_job_that_is_preempted_and_requeued_goes_on_as_the_same_run(
    played: dict[str, Future[Any]], case: str
) -> None:
    one = played[case].result()
    assert (one.final, one.run["state"]) == ("COMPLETED", "finished")
    continues(one)


def test_a_life_that_a_failed_node_left_behind_is_told_and_keeps_its_rows_on_a_branch(
    played: dict[str, Future[Any]],
) -> None:
    one = played["node failure"].result()
    assert (one.final, one.run["state"]) == ("COMPLETED", "finished")
    first, second = one.lives
    facts = second.begun()
    assert facts["resumed"]
    assert "superseded" in first.remarks
    assert first.last_step > facts["step"]
    assert second.noted[0].step == max(0, facts["step"] - BACK)


def test_the_tasks_of_an_array_are_runs_of_their_own(played: dict[str, Future[Any]]) -> None:
    several = played["array"].result()
    assert len({one.run["run_id"] for one in several}) == 2
    for one in several:
        assert (one.final, one.run["state"]) == ("COMPLETED", "finished")
        continues(one)


def test_a_job_that_gets_no_signal_is_warned_in_its_grace(played: dict[str, Future[Any]]) -> None:
    first = played["bare, warned by the controller"].result().lives[0]
    assert [text for text in first.remarks if text.startswith("callback at ")]


def continues(one: Played) -> None:
    """The second life goes on where the first ended, and knows it."""
    first, second = one.lives
    facts = second.begun()
    assert facts["resumed"]
    assert facts["step"] in {first.last_step + 1, first.last_step + 2}
    assert [each["number"] for each in one.run["attempts"]] == [1, 2]
    assert second.noted[0].step == max(0, facts["step"] - BACK)
