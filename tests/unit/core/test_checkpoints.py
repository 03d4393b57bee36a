"""What a keeper knows of the checkpoints that were handed over."""

from __future__ import annotations

from typing import Any

import pytest

from respool.wire import codec
from respool.wire.frames import Frame, Kind
from respoold.core.checkpoints import Checkpoints, Share, Stage, parse

PARTS = [{"name": "", "blob": "t1", "size": 10}, {"name": "opt", "blob": "t2", "size": 5}]


def frame(seq: int, step: int, **said: Any) -> Frame:
    body = {
        "name": "checkpoint",
        "step": step,
        "parts": [{"name": "", "blob": f"b{seq}", "size": 10}],
        **said,
    }
    return Frame(seq, step + 1, Kind.CHECKPOINT, 0, 1, 100.0 + seq, codec.pack(body))


def filled(*steps: int, **said: Any) -> Checkpoints:
    made = Checkpoints()
    for seq, step in enumerate(steps):
        assert made.note(0, frame(seq, step, **said), now=float(seq))
    return made


def test_a_record_is_a_share_with_its_parts_and_is_taken_once() -> None:
    made = Checkpoints()
    whole = frame(3, 70, parts=PARTS, rank=1, world=4, score=0.5, pinned=True, metadata={"a": 1})
    assert made.note(0, whole, 9.0)
    assert not made.note(0, whole, 10.0)
    (share,) = made.pending
    assert (share.step, share.size, share.rank, share.world, share.score) == (70, 15, 1, 4, 0.5)
    assert (share.pinned, share.metadata, share.at, share.logged) == (True, {"a": 1}, 9.0, 71)
    assert made.tokens == {"t1", "t2"}


@pytest.mark.parametrize(
    "said",
    [
        {"parts": []}, {"parts": None}, {"parts": [7]}, {"parts": [{"name": "x"}]}, {"name": 5},
        {"rank": 2, "world": 2}, {"rank": "x"}, {"world": 0}, {"parts": [{"name": "", "blob": "t", "size": -1}]},
    ],
)  # fmt: skip
def test_a_record_that_describes_no_checkpoint_is_none(said: dict[str, Any]) -> None:
    assert parse(0, frame(1, 1, **said)) is None
    assert parse(0, Frame(1, 1, Kind.CHECKPOINT, 0, 1, 0.0, b"\xc1")) is None


def test_the_newest_goes_first() -> None:
    assert [share.step for share in filled(10, 20, 30).pending] == [30, 20, 10]


def test_what_the_hub_refuses_keeps_no_other_waiting() -> None:
    made = filled(10, 20, 30)
    made.refuse(made.pending[0])
    assert [share.step for share in made.pending] == [20, 10, 30]


def whole(_: Share) -> bool:
    return True


def test_only_what_lies_here_whole_outlives_others() -> None:
    made = filled(10, 20, 30, 40, keep={"last": 1})
    assert [share.step for share in made.outlived(lambda share: share.step <= 20)] == [10]
    assert made.outlived(lambda _: False) == []


def test_what_retention_would_drop_on_arrival_is_outlived() -> None:
    made = filled(10, 20, 30, 40, keep={"last": 2, "mode": ""})
    assert [share.step for share in made.outlived(whole)] == [20, 10]
    for old in made.outlived(whole):
        made.moved(old, stage=Stage.SKIPPED)
    assert [share.step for share in made.pending] == [40, 30]
    assert made.outlived(whole) == []
    assert made.tokens == {"b2", "b3"}


def test_what_was_saved_after_a_restart_is_the_newest_whatever_the_new_clock_says() -> None:
    again = Checkpoints()
    again.take_facts(filled(10, 20, keep={"last": 1}).facts())
    again.note(0, frame(2, 30, keep={"last": 1}), now=-5.0)
    assert [share.step for share in again.pending] == [30, 20, 10]
    assert [share.step for share in again.outlived(whole)] == [20, 10]


def test_shares_of_a_sharded_one_are_never_outlived_by_what_this_node_knows() -> None:
    assert filled(10, 20, 30, 40, keep={"last": 1}, world=2).outlived(whole) == []


def test_sharded_ones_whose_shares_all_lie_here_outlive_older_ones_as_others_do() -> None:
    made = Checkpoints()
    for seq, (step, rank) in enumerate([(10, 0), (10, 1), (20, 1), (20, 0), (30, 0)]):
        body = {"name": "c", "step": step, "rank": rank, "world": 2, "keep": {"last": 1}}
        body["parts"] = [{"name": "", "blob": f"t{seq}", "size": 9}]
        made.note(rank, Frame(seq, step, Kind.CHECKPOINT, 0, 1, 0.0, codec.pack(body)), 0.0)
    assert [(one.step, one.rank) for one in made.outlived(whole)] == [(10, 0), (10, 1)], "30 is not whole"
    assert made.outlived(lambda share: share.step == 10) == [], "20 is still being copied"


def test_the_hubs_word_expires_shares_that_lie_here() -> None:
    made = filled(10, 20)
    assert [share.step for share in made.expire("checkpoint", 10)] == [10]
    assert made.expire("other", 10) == []


def test_facts_survive_a_restart() -> None:
    made = filled(10, 20, keep={"last": 1}, metadata={"a": [1]})
    made.moved(made.pending[0], stage=Stage.SENT, sent=10)
    again = Checkpoints()
    again.take_facts(codec.unpack(codec.pack(made.facts())))
    assert list(again) == [share._replace(at=0.0) for share in made]
    with pytest.raises((TypeError, ValueError, KeyError)):
        again.take_facts([{"parts": [[1, 2]]}])
