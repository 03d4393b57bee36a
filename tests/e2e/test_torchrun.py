"""A real torchrun, which starts all of its ranks anew when one of them is killed."""

from __future__ import annotations

import sys

import pytest

from e2e.sites import PROJECT, Site, respool
from e2e.truths import Life

pytest.importorskip("torch")

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
STEPS = 200
FLAGS = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "1", "--no-python"]


@pytest.mark.slow
@pytest.mark.parametrize("watched", [False, True])
def test_ranks_of_one_launch_are_one_attempt_and_a_restart_of_all_is_the_next_one(
    site: Site, watched: bool
) -> None:
    site.open()
    node = site.node
    node.wrapper = [*TORCHRUN, *FLAGS, *([*respool("run"), "--"] if watched else [])]
    life = node.train("elastic.py", id="", resume="true", steps=STEPS)
    assert life.process.wait(120) == 0, life.process.words()
    first, second = (
        [Life(life.process, f"{life.truth}.{group}.{rank}").begun() for rank in (0, 1)] for group in (0, 1)
    )
    attempts = [{facts["attempt_id"] for facts in group} for group in (first, second)]
    assert [len(group) for group in attempts] == [1, 1], "the ranks of a group are one attempt"
    run_id = str(first[0]["run_id"])
    run = site.drained(run_id=run_id)
    assert [{one["attempt_id"]} for one in run["attempts"]] == attempts
    assert run["state"] == "finished"
    assert (first[0]["resumed"], second[0]["resumed"]) == (False, True)
    assert 5 <= second[0]["step"] < STEPS
    history = site.view.history(PROJECT, run_id)
    assert [row["_step"] for row in history] == list(range(STEPS))
