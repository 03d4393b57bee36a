"""Who joins and who takes over, with a daemon and a hub: real processes, ranks and jobs as schedulers start them."""

from __future__ import annotations

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import Life

JOB = {"SLURM_JOB_ID": "12", "SLURM_CLUSTER_NAME": "c", "ENVIRONMENT": "BATCH"}


def ranks(count: int, **more: str) -> list[dict[str, str]]:
    sized = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_PORT": "29500"}
    return [{"RANK": str(rank), **sized, **more} for rank in range(count)]


def over(lives: list[Life]) -> None:
    for life in lives:
        assert life.process.wait(60) == 0, life.process.words()


def test_four_ranks_are_one_attempt_and_its_rows_are_rank_0s(site: Site) -> None:
    site.open()
    lives = [site.node.rows(steps=100, pace=0.02, environ=one) for one in ranks(4, **JOB)]
    over(lives)
    assert len({life.begun()["attempt_id"] for life in lives}) == 1
    run = site.drained()
    assert (len(run["attempts"]), run["state"], run["last_step"]) == (1, "finished", 99)
    every = site.view.history(PROJECT, RUN, every=True)
    assert sorted((row["_writer"], row["_step"]) for row in every) == [
        (rank, step) for rank in range(4) for step in range(100)
    ]


@pytest.mark.parametrize("where", ["same node", "other node", "without daemons"])
def test_a_rank_that_comes_when_the_others_have_finished_is_one_of_them(site: Site, where: str) -> None:
    site.hub.start()
    nodes = [site.node, site.add_node("b")] if where == "other node" else [site.node, site.node]
    site.give_keys()
    for node in {id(one): one for one in nodes}.values():
        if where != "without daemons":
            node.daemon.start()
    mode = {"RESPOOL_MODE": "spool"} if where == "without daemons" else {}
    for node, rank in zip(nodes, ranks(2, **JOB, **mode), strict=True):
        over([node.rows(steps=20, environ=rank)])
    for node in nodes:
        if not node.daemon.alive:
            node.daemon.start()
    run = until(
        lambda: (found := site.drained()) and found["state"] == "finished" and found,
        "both at the hub",
        30,
        site.words,
    )
    assert [attempt["number"] for attempt in run["attempts"]] == [1]
    every = site.view.history(PROJECT, RUN, every=True)
    assert sorted((row["_writer"], row["_step"]) for row in every) == [
        (r, s) for r in (0, 1) for s in range(20)
    ]


@pytest.mark.parametrize("hub", ["up", "away"])
def test_a_restart_loop_in_one_job_is_several_attempts_of_one_run(site: Site, hub: str) -> None:
    site.open()
    lives = []
    for count in range(3):
        lives.append(site.node.rows(steps=10**6, pace=0.005, environ=JOB).reach(20 * (count + 1)))
        lives[-1].process.kill()
        if hub == "away" and count == 0:
            site.hub.kill()
    if hub == "away":
        site.hub.start()
    run = site.drained()
    assert len(run["attempts"]) == 3
    parents = [attempt["parent"] for attempt in run["attempts"]]
    assert parents == [None, *(attempt["attempt_id"] for attempt in run["attempts"][:2])]


def test_two_nodes_of_one_launch_are_one_attempt(site: Site) -> None:
    site.open()
    other = site.add_node("b")
    site.give_keys()
    other.daemon.start()
    first, second = ranks(2, **JOB)
    lives = [site.node.rows(steps=100, pace=0.02, environ=first)]
    lives[0].begun()
    lives.append(other.rows(steps=100, pace=0.02, environ=second))
    over(lives)
    assert len({life.begun()["attempt_id"] for life in lives}) == 1
    run = site.drained()
    assert (len(run["attempts"]), run["state"]) == (1, "finished")
