"""Which checkpoints go first when a spool is full."""

from __future__ import annotations

from typing import Any

from respool.wire import codec
from respool.wire.attempt import AttemptFile
from respool.wire.frames import Frame, Kind
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Stage
from respoold.core.making_room import spare

REQUEST = {"project": "p", "run_id": "r", "original_id": "r", "incarnation": "b:1:2:3"}


def an_attempt(number: int, *steps: int, run: str = "r", **said: Any) -> Attempt:
    request = REQUEST | {"run_id": run, "original_id": run}
    made = Attempt(AttemptFile(f"{run}{number}", request, 1000), f"/spool/{run}{number}")
    made.number = number
    for seq, step in enumerate(steps):
        body = {"name": "c", "step": step, "parts": [{"name": "", "blob": f"b{seq}", "size": 9}], **said}
        made.checkpoints.note(0, Frame(seq, step, Kind.CHECKPOINT, 0, 1, 0.0, codec.pack(body)), 0.0)
    return made


def sent(attempt: Attempt, *steps: int) -> None:
    for share in attempt.checkpoints:
        if share.step in steps:
            attempt.checkpoints.moved(share, stage=Stage.SENT)


def steps(*attempts: Attempt, torn: int = -1) -> list[tuple[str, int]]:
    """`torn`: the step of one whose bytes are not all there."""
    return [(one.id, share.step) for one, share in spare(attempts, lambda _, share: share.step != torn)]


def test_what_the_hub_has_goes_first_then_the_oldest_unsent_and_never_the_newest() -> None:
    young, old = an_attempt(2, 30, 40, 50), an_attempt(1, 10, 20)
    sent(young, 40)
    assert steps(young, old) == [("r2", 40), ("r1", 10), ("r1", 20), ("r2", 30)]


def test_one_whose_bytes_are_not_all_there_saves_no_room_for_itself() -> None:
    assert steps(an_attempt(1, 10, 20, 30), torn=30) == [("r1", 10)]


def test_each_run_and_name_keeps_its_newest() -> None:
    assert steps(an_attempt(1, 10), an_attempt(1, 20, run="other"), an_attempt(2, 5, name="ema")) == []


def test_pinned_best_and_kept_for_their_step_stay_while_the_hub_lacks_them() -> None:
    assert steps(an_attempt(1, 10, 20, pinned=True)) == []
    assert steps(an_attempt(1, 10, 15, 20, 25, keep={"every": 10})) == [("r1", 15)]
    best = an_attempt(1, 10, 20, 30, keep={"mode": "max"})
    best.checkpoints.moved(next(iter(best.checkpoints)), score=9.0)
    assert steps(best) == [("r1", 20)]


def test_a_share_of_a_sharded_one_goes_only_when_the_hub_has_it() -> None:
    shards = an_attempt(1, 10, 20, 30, world=2)
    sent(shards, 30)
    assert steps(shards) == [("r1", 30)]


def test_sharded_ones_that_lie_here_whole_make_room_as_others_do() -> None:
    one = an_attempt(1)
    for seq, (step, rank) in enumerate([(10, 0), (10, 1), (20, 0), (20, 1), (30, 1)]):
        body = {"name": "c", "step": step, "rank": rank, "world": 2}
        body["parts"] = [{"name": "", "blob": f"b{seq}", "size": 9}]
        one.checkpoints.note(rank, Frame(seq, step, Kind.CHECKPOINT, 0, 1, 0.0, codec.pack(body)), 0.0)
    assert steps(one) == [("r1", 10), ("r1", 10)]
