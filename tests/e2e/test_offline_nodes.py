"""Offline lives of one run on two nodes with nothing in common but the checkpoint: one history, whoever comes first."""

from __future__ import annotations

import itertools

import pytest

from e2e.sites import PROJECT, Node, Site
from e2e.truths import Life, account

OFFLINE = {"RESPOOL_MODE": "spool"}


def life(site: Site, node: Node, restarts: int, reach: int, **more: object) -> Life:
    """One life of a requeued job, killed once it logged `reach`; its checkpoint is up to ten steps old by then."""
    count = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    environ = {"SLURM_JOB_ID": "9", "SLURM_CLUSTER_NAME": "c", "ENVIRONMENT": "BATCH", **count, **OFFLINE}
    options = {
        "id": "",
        "resume": "true",
        "restart": "checkpoint",
        "checkpoint": site.path("shared.ckpt"),
        "every": 10,
    }
    made = node.rows(steps=10**6, pace=0.001, environ=environ, **{**options, **more})
    made.reach(reach)
    made.process.kill()
    return made


def steps(site: Site, run_id: str) -> list[int]:
    return [row["_step"] for row in site.view.history(PROJECT, run_id)]


@pytest.mark.parametrize("order", list(itertools.permutations("ab")))
@pytest.mark.parametrize("where", ["ab", "aba", "abab"])
def test_a_requeued_job_that_moved_between_nodes_is_one_history(
    site: Site, order: tuple[str, ...], where: str
) -> None:
    site.hub.start()
    nodes = {"a": site.node, "b": site.add_node("b")}
    site.give_keys()
    lives = [life(site, nodes[name], count, 25 * (count + 1)) for count, name in enumerate(where)]
    for name in order:
        done = nodes[name].call("sync")
        assert done.returncode == 0, done.stderr + done.stdout
    run_id = lives[0].begun()["run_id"]
    assert {one.begun()["run_id"] for one in lives} == {run_id}
    run = site.view.show(PROJECT, run_id)
    assert run is not None
    assert (len(run["attempts"]), run["diverged"]) == (len(where), False)
    history = steps(site, run_id)
    assert history == list(range(len(history)))
    assert history[-1] >= 25 * len(where)
    account(site.view, PROJECT, run_id, lives)


def test_a_run_that_is_rewound_offline_again_and_again_is_one_history(site: Site) -> None:
    site.hub.start()
    site.give_keys()
    lives = [life(site, site.node, 0, 25 * (count + 1), id="mine", resume="allow") for count in range(4)]
    for _ in range(2):
        assert site.node.call("sync").returncode == 0
    history = steps(site, "mine")
    assert history == list(range(len(history)))
    account(site.view, PROJECT, "mine", lives)
