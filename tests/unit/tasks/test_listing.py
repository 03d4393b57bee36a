"""One list of checkpoints, of what lies here and what the hub has."""

from __future__ import annotations

import pytest

from respoold.cli.checkpoints import _with_local
from respoold.tasks.listing import _merged, _not_dropped


def told(step: int, attempt_id: str = "a", source: str = "hub") -> dict[str, object]:
    return {"name": "checkpoint", "step": step, "attempt_id": attempt_id, "parts": [], "source": source}


@pytest.mark.parametrize(
    ("here", "there", "wanted"),
    [
        ([3, 2], [1], [3, 2, 1]),
        # 3 went to the hub first and 2 still waits: it is no newer for that.
        ([3, 2], [3, 1], [3, 2, 1]),
        ([5, 4, 3, 2], [4, 1], [5, 4, 3, 2, 1]),
        ([2], [3, 2, 1], [3, 2, 1]),
        ([], [2, 1], [2, 1]),
        ([2, 1], [], [2, 1]),
    ],
)
def test_what_waits_here_stands_at_its_place_among_what_the_hub_has(here, there, wanted) -> None:
    merged = _merged([told(step) for step in here], [told(step) for step in there])
    assert [one["step"] for one in merged] == wanted


def test_a_copy_of_what_the_hub_dropped_is_not_shown_and_one_that_waits_is() -> None:
    local = [told(3) | {"waiting": True}, told(2) | {"waiting": False}, told(1) | {"waiting": False}]
    assert [one["step"] for one in _not_dropped(local, [told(1)])] == [3, 1]


def test_a_later_attempts_wait_goes_before_what_the_hub_has_of_an_earlier_one() -> None:
    merged = _merged([told(2, "b")], [told(5, "a"), told(4, "a")])
    assert [(one["attempt_id"], one["step"]) for one in merged] == [("b", 2), ("a", 5), ("a", 4)]


def test_a_later_save_of_a_step_that_still_waits_is_the_one_and_is_not_mixed_with_the_hubs() -> None:
    part = {"rank": 0, "name": "", "size": 9}
    ours = told(4) | {
        "time": 2.0,
        "waiting": True,
        "complete": True,
        "parts": [part | {"digest": "", "path": "/b"}],
    }
    theirs = told(4) | {"time": 1.0, "complete": True, "parts": [part | {"digest": "a", "path": None}]}
    assert _merged([ours], [theirs]) == [ours]
    assert _merged([ours | {"complete": False}], [theirs]) == [theirs], "other ranks' shares are elsewhere"
    for same in (ours | {"waiting": False}, ours | {"time": 1.0}):
        (both,) = _merged([same], [theirs])
        assert both["parts"] == [part | {"digest": "a", "path": "/b"}]
    assert _with_local([theirs], [ours]) == [ours]
    assert _with_local([theirs, told(3)], [ours]) == [ours, told(3)]
