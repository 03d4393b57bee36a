"""What is sent, and when there is nothing to be sent yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from respool.wire.frames import walk
from respoold.core.hubapi import Appended, CheckpointCommit, CheckpointTaken
from respoold.io import blobs
from respoold.tasks import upload
from unit.tasks.kit import ME, SIZE, FakeHub, People, a_keeper, granted, people, saved, until


@pytest.fixture
def folk() -> Iterator[People]:
    with people() as made:
        yield made


class Taking(FakeHub):
    """Takes all rows, has every chunk already; notes what was `committed`."""

    def __init__(self) -> None:
        super().__init__()
        self.committed: list[int] = []
        self.rooms = 0

    async def ask_room(self, *_: Any) -> None:
        self.rooms += 1

    async def missing(self, _: bytes) -> list[tuple[int, int]]:
        return []

    async def commit_checkpoint(self, _: str, commit: CheckpointCommit) -> CheckpointTaken:
        self.committed.append(commit.step)
        return CheckpointTaken(complete=True)

    async def append(self, _: str, _writer: int, first_seq: int, frames: bytes) -> Appended:
        last = walk(frames, 0).frames[-1]
        assert last.seq >= first_seq
        return Appended(last.next_seq, "hub-1")


@pytest.mark.parametrize("how", ["short", "staged"])
async def test_one_that_is_still_being_written_is_waited_for_in_peace_and_those_before_it_go(
    folk: People,
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """Were it asked for again at once, no time would ever pass."""
    hub, written = Taking(), False
    async with a_keeper(str(tmp_path), hub) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2)
        attempt, uplink = found.attempt, keeper.uplinks.of(ME, None)
        assert uplink is not None
        if how == "short":
            os.truncate(blobs.path_of(attempt.directory, "t2"), SIZE // 2)
        else:
            monkeypatch.setattr(upload.vault, "ready", lambda _k, _a, share: written or share.step != 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload.upload_forever, keeper, uplink)
            keeper.offer(attempt)
            await until(lambda: hub.committed)
            await trio.sleep(60)
            assert (hub.committed, hub.rooms) == ([1], 1)
            os.truncate(blobs.path_of(attempt.directory, "t2"), SIZE)
            written = True
            await until(lambda: hub.committed == [1, 2])
            nursery.cancel_scope.cancel()
