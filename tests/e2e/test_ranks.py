"""Sharded checkpoints of real torch.distributed ranks: complete when all have committed, and not before."""

from __future__ import annotations

import socket

import pytest

from e2e.processes import until
from e2e.sites import PROJECT, RUN, Site
from e2e.truths import Life

pytest.importorskip("torch")


def launch(site: Site, world: int, again: int = 0, **options: object) -> list[Life]:
    """All ranks of one launch, as torchrun starts them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "TORCHELASTIC_RUN_ID": "e2e-ranks",
        "TORCHELASTIC_RESTART_COUNT": str(again),
    }
    ranks = [{**given, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
    return [site.node.train("ranks.py", environ=environ, **options) for environ in ranks]


def told(life: Life, word: str) -> dict[int, str]:
    found = (one.split(" ", 2) for one in life.remarks if one.startswith(word + " "))
    return {int(one[1]): one[2] for one in found if one[1] != "none"}


def ended(lives: list[Life]) -> None:
    for life in lives:
        assert life.process.wait(90) == 0, life.process.words()


def killed_in_the_middle(site: Site) -> list[Life]:
    """Four ranks, killed while one of them was still writing its share of step 3."""
    lives = launch(site, 4, stuck=3, steps=9)
    for life in lives[:3]:
        life.remark("saved 3 ", 90)
    lives[3].remark("try 3 ", 90)
    for life in lives:
        life.process.kill()
    return lives


@pytest.mark.slow
def test_four_ranks_killed_in_the_middle_of_one_go_on_from_the_newest_that_all_had_committed(
    site: Site,
) -> None:
    site.open()
    first = killed_in_the_middle(site)
    second = launch(site, 4, again=1, steps=5)
    ended(second)
    for before, after in zip(first, second, strict=True):
        assert told(after, "found") == {2: told(before, "saved")[2]}
    site.drained()
    listed = site.view.checkpoints(PROJECT, RUN)
    assert [(one["step"], one["complete"], one["ranks"]) for one in listed][:1] == [(4, True, [0, 1, 2, 3])]
    found = site.view.find(PROJECT, RUN)
    assert found is not None
    assert found["attempts"] == 2


@pytest.mark.slow
def test_a_world_that_shrank_is_told_and_may_read_all_shares(site: Site) -> None:
    site.open()
    first = killed_in_the_middle(site)
    second = launch(site, 2, again=1, steps=4)
    ended(second)
    wanted = " ".join(told(life, "saved")[2] for life in first)
    for life in second:
        assert "written by 4 ranks and is read by 2" in life.remark("refused", 5)
        assert told(life, "all") == {2: wanted}
    until(lambda: site.view.state(PROJECT, RUN) == "finished", "finished", why=site.words)
