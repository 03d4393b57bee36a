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
from respoold.core.errors import HubRefused
from respoold.core.hubapi import FULL, Appended, CheckpointCommit, CheckpointTaken, Problem
from respoold.io import blobs
from respoold.tasks import upload
from unit.tasks.kit import ME, SIZE, FakeHub, People, a_keeper, granted, log, people, saved, until


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


async def test_a_hub_whose_disk_is_full_gets_rows_and_is_tried_again_for_the_rest(
    folk: People, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    class Full(Taking):
        tried = rows = 0
        full = True

        async def missing(self, digests: bytes) -> list[tuple[int, int]]:
            return [(0, 0)] if self.full else []

        async def put_chunk(self, *_: Any) -> None:
            self.tried += 1
            raise HubRefused(FULL, Problem("full", "Nothing was kept.", "Make room on the hub's disk."))

        async def append(self, *args: Any) -> Appended:
            self.rows += 1
            return await super().append(*args)

    hub = Full()
    async with a_keeper(str(tmp_path), hub) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1)
        attempt, uplink = found.attempt, keeper.uplinks.of(ME, None)
        assert uplink is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload.upload_forever, keeper, uplink)
            keeper.offer(attempt)
            await until(lambda: hub.tried)
            before = hub.rows
            log(keeper, found, 2)
            keeper.offer(attempt)
            await until(lambda: hub.rows > before)
            assert (uplink.open, attempt.held) == (True, None)
            assert attempt.no_room == ("Nothing was kept.", "Make room on the hub's disk.")
            hub.full = False
            await until(lambda: hub.committed == [1])
            await until(lambda: attempt.no_room is None)
            nursery.cancel_scope.cancel()
