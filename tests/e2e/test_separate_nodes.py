"""Scripts whose offline runs other tools lose, double or shift: resumed and rewound while the hub cannot be reached,
once and several times, on one node and on two that share nothing but the checkpoint. Each is one history.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.marks import slowly
from e2e.processes import until
from e2e.sites import PROJECT, Node, Site
from e2e.truths import Life, account
from e2e.wires import cannot, cut, mend, wired

ROWS = 25
SCRIPTS: dict[str, dict[str, Any]] = {
    # W&B 2423: the same id again, offline, going on at run.step.
    "resumed": {"restart": "step"},
    # W&B 3841: a job of several allocations, each ended by its time limit, from the checkpoint on.
    "allocations": {"restart": "checkpoint", "every": 10, "end": "hang"},
    # W&B 4624: each life ends cleanly and begins where the one before ended.
    "fragments": {"restart": "checkpoint", "every": 1},
    # W&B 5865: each life begins behind the last row, and ends cleanly.
    "appended": {"restart": "checkpoint", "every": 10},
    # W&B 7951: each life goes back to the last whole epoch, however often, and never says a step.
    "rewound": {"restart": "rewind", "every": 10, "end": "hang"},
}
UNNAMED = {"restart": "axis", "every": 10, "end": "hang"}


@pytest.fixture
def land(request: pytest.FixtureRequest) -> Iterator[Site]:
    reason = cannot()
    if reason:
        pytest.skip(reason)
    with wired("ab") as site:
        yield site


def job(number: int, restarts: int = 0) -> dict[str, str]:
    """A batch job's environment; its first life has no count."""
    count = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    return {"SLURM_JOB_ID": str(number), "SLURM_CLUSTER_NAME": "c", "ENVIRONMENT": "BATCH", **count}


def life(site: Site, node: Node, script: str, number: int, environ: dict[str, str] | None = None) -> Life:
    """The next life of the run, over when this returns; of one requeued job unless `environ` says another."""
    last = ROWS * (number + 1)
    how = SCRIPTS.get(script, UNNAMED)
    options = {"id": "mine", "checkpoint": site.path("shared.ckpt"), "steps": last, **how}
    made = node.rows(environ=environ or job(9, number), **options)
    made.remark("done")
    if "end" in how:
        made.process.kill()
    assert made.process.wait() in {0, -9}, made.process.words()
    return made


def alone(node: Node) -> None:
    """The node's daemon is up, and knows that the hub is away."""
    cut(node)
    if not node.daemon.alive:
        node.daemon.start()
    until(lambda: (node.status() or {}).get("hub_reachable") is False, "the hub known to be away", 20)


def sent(node: Node) -> None:
    """The hub is there again, and has all that this node kept."""
    mend(node)
    node.daemon.kill()
    node.daemon.start()
    until(
        lambda: (found := node.status()) is not None and not found["runs"],
        "everything sent",
        40,
        node.site.words,
    )


def one_history(site: Site, lives: list[Life]) -> None:
    run = site.view.show(PROJECT, "mine")
    assert run is not None
    assert (len(run["attempts"]), run["diverged"]) == (len(lives), False), run["attempts"]
    steps = [row["_step"] for row in site.view.history(PROJECT, "mine")]
    assert steps == list(range(ROWS * len(lives)))
    account(site.view, PROJECT, "mine", lives)


@pytest.mark.parametrize(
    ("script", "often"),
    [*((script, False) for script in SCRIPTS), slowly("resumed", True), slowly("rewound", True)],
)
def test_on_one_node_it_is_one_history(land: Site, script: str, often: bool) -> None:
    """`often`: the hub is there between any two lives, or only at the end."""
    lives = []
    for number in range(3):
        alone(land.node)
        lives.append(life(land, land.node, script, number))
        if often:
            sent(land.node)
    sent(land.node)
    one_history(land, lives)


@pytest.mark.slow
@pytest.mark.parametrize("order", list(itertools.permutations("ab")))
@pytest.mark.parametrize("where", ["ab", "abab"])
@pytest.mark.parametrize("script", [one for one in SCRIPTS if one != "resumed"])
def test_on_two_nodes_it_is_one_history_whichever_comes_back_first(
    land: Site, script: str, where: str, order: tuple[str, ...]
) -> None:
    nodes = dict(zip("ab", land.nodes, strict=True))
    for node in land.nodes:
        alone(node)
    lives = [life(land, nodes[name], script, number) for number, name in enumerate(where)]
    for name in order:
        sent(nodes[name])
    one_history(land, lives)


@pytest.mark.parametrize("order", [("a", "b"), slowly(("b", "a"))])
@pytest.mark.parametrize("where", ["aba", slowly("abba")])
def test_loggers_that_name_no_step_are_one_history_though_neither_node_knows_how_far_the_run_was(
    land: Site, where: str, order: tuple[str, ...]
) -> None:
    nodes = dict(zip("ab", land.nodes, strict=True))
    for node in land.nodes:
        alone(node)
    lives = [life(land, nodes[name], "unnamed", number) for number, name in enumerate(where)]
    for name in order:
        sent(nodes[name])
    run = land.view.show(PROJECT, "mine")
    assert run is not None
    assert not run["diverged"], run["attempts"]
    rows = land.view.history(PROJECT, "mine")
    assert [row["trainer/global_step"] for row in rows] == list(range(ROWS * len(where)))
    assert [row["_step"] for row in rows] == sorted({row["_step"] for row in rows})
    account(land.view, PROJECT, "mine", lives, linear=False)


@pytest.mark.parametrize("order", list(itertools.permutations("ab")))
def test_jobs_of_a_chain_that_nothing_orders_are_one_history_or_become_it_by_one_command(
    land: Site, order: tuple[str, ...]
) -> None:
    """Each job has an id of its own: which of them was first only their arrival can tell, and it may tell wrong."""
    nodes = dict(zip("ab", land.nodes, strict=True))
    for node in land.nodes:
        alone(node)
    lives = [life(land, nodes[name], "allocations", at, job(20 + at)) for at, name in enumerate("ab")]
    for name in order:
        sent(nodes[name])
    first, second = (str(one.begun()["attempt_id"]) for one in lives)
    run = land.view.show(PROJECT, "mine")
    assert run is not None
    if order == ("b", "a"):
        assert run["diverged"], "what cannot be told is not guessed"
        done = land.node.call("lineage", f"{PROJECT}/mine", "--graft", second, first)
        assert done.returncode == 0, done.stdout + done.stderr
    one_history(land, lives)
