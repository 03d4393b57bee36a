"""Retention of sharded checkpoints in a spool without a daemon: what all ranks wrote outlives, one share does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import respool
from respool.local_shares import FOLDER
from unit.shim.saves import records


@pytest.fixture
def run():
    return respool.init(project="p", id="r", mode="spool")


@pytest.fixture
def share(run, monkeypatch):
    """Save one rank's share of a step, of two ranks."""
    monkeypatch.setenv("WORLD_SIZE", "2")

    def save(step, *ranks, data=b"x" * 100, **options):
        for rank in ranks or (0, 1):
            monkeypatch.setenv("RANK", str(rank))
            with run.checkpoint(step, sharded=True, **options) as file:
                file.write(data)
            assert file.ok

    return save


def here(run):
    """Of what was saved, (step, rank), what still lies here."""
    folder = os.path.join(run._keeper.attached.directory, "blobs")
    return {
        (one["step"], one["rank"])
        for one in records(run)
        if all(os.path.exists(os.path.join(folder, part["blob"])) for part in one["parts"])
    }


def both(*steps):
    return {(step, rank) for step in steps for rank in (0, 1)}


def test_older_ones_go_when_all_ranks_wrote_as_many_newer_ones_as_are_kept(run, share):
    run.keep_checkpoints(last=2)
    share(1)
    share(2)
    share(3, 0)
    assert here(run) == both(1, 2) | {(3, 0)}, "3 is not whole, and outlives nothing"
    share(3, 1)
    assert here(run) == both(2, 3) | {(1, 0)}, "each rank removes its own"
    share(4, 0)
    assert here(run) == both(2, 3) | {(4, 0)}, "what one rank let go, the others do too"
    share(4, 1)
    run.finish()
    assert here(run) == both(3, 4)


def test_a_share_that_no_other_rank_ever_joined_goes_when_newer_ones_are_whole(run, share):
    run.keep_checkpoints(last=1)
    share(1, 0)
    share(2)
    share(3)
    run.finish()
    assert here(run) == both(3)


def test_the_best_by_what_rank_0_says_stays_with_all_its_shares_and_what_one_pinned(run, share):
    run.keep_checkpoints(last=1, best="loss")
    for step, loss in ((1, 0.5), (2, 0.1), (3, 0.9)):
        share(step, 0, metadata={"loss": loss})
        share(step, 1, metadata={"loss": -step}, pinned=step == 1)
    share(4)
    run.finish()
    assert here(run) == both(1, 2, 4)


def test_a_share_whose_bytes_are_not_all_there_is_none(run, share):
    run.keep_checkpoints(last=1)
    share(1)
    share(2, 1)
    blob = records(run)[-1]["parts"][0]["blob"]
    os.truncate(os.path.join(run._keeper.attached.directory, "blobs", blob), 10)
    share(2, 0)
    share(3, 0)
    assert here(run) == both(1, 2) | {(3, 0)}


@pytest.mark.parametrize("ruin", ["{", "[]", '{"name": "other"}', None])
def test_what_another_rank_said_and_cannot_be_read_costs_nothing(run, share, ruin):
    run.keep_checkpoints(last=1)
    share(1)
    share(2, 1)
    folder = os.path.join(run._keeper.attached.directory, FOLDER)
    (path,) = (os.path.join(folder, name) for name in os.listdir(folder) if name.endswith("-2-0-1"))
    if ruin is None:
        os.unlink(path)
    else:
        with open(path, "w", encoding="utf-8") as file:
            file.write(ruin)
    share(2, 0)
    assert here(run) == both(1, 2)
    assert run.latest_checkpoint().step == 2


def test_where_room_is_short_only_the_newest_whole_one_stays_those_of_earlier_lives_go_too(
    run, share, monkeypatch
):
    run.keep_checkpoints(last=9)
    share(1, data=b"x" * (1 << 20))
    share(2, data=b"x" * (1 << 20))
    before = run
    run.finish()
    monkeypatch.setenv("RESPOOL_BLOBS_QUOTA", "4500K")
    again = respool.init(project="p", id="r", mode="spool", resume="allow")
    again.keep_checkpoints(last=9)
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        with again.checkpoint(3, sharded=True) as file:
            file.write(b"x" * (1 << 20))
        assert file.ok, rank
    assert here(before) == both(2)
    assert here(again) == both(3)


SCRIPT = """
import respool, sys
run = respool.init(project="p", id="r", mode="spool", resume="allow")
run.keep_checkpoints(last=2)
for step in range(8):
    with run.checkpoint(step, sharded=True) as file:
        file.write(b"x" * 1000)
    print(step, flush=True)
    sys.stdin.readline()
run.finish()
"""


def test_real_ranks_leave_the_last_ones_and_no_more(monkeypatch, spool):
    places = [
        {**os.environ, "RANK": str(rank), "WORLD_SIZE": "3", "RESPOOL_LAUNCH_ID": "L"} for rank in range(3)
    ]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT], env=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for place in places
    ]
    for _ in range(8):
        for rank in ranks:
            assert rank.stdout.readline()
        for rank in ranks:
            rank.stdin.write(b"\n")
            rank.stdin.flush()
    for rank in ranks:
        rank.communicate()
        assert rank.returncode == 0
    (attempt,) = (one for one in os.scandir(spool) if os.path.isdir(os.path.join(one.path, "blobs")))
    kept = [name for name in os.listdir(os.path.join(attempt.path, "blobs")) if "." not in name]
    assert 6 <= len(kept) <= 8, "the last two of three ranks, and what the last to come has not seen outlived"
    again = respool.init(project="p", id="r", mode="spool", resume="allow")
    assert [one.step for one in again.checkpoints() if one.complete][:2] == [7, 6]
