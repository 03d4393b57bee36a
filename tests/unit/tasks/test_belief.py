"""What is believed of bytes after a reboot of the machine, and what becomes of the others, with real files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from respool.wire.attempt import NOTE
from respool.wire.file_messages import CheckpointsAsked
from respool.wire.frames import Kind
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Stage
from respoold.core.file_version import FileVersion
from respoold.io import blobs, chunks, disk
from respoold.tasks import belief, listing, retire
from respoold.tasks.asker import Asker
from respoold.tasks.keeper import Keeper
from unit.tasks.kit import ME, SIZE, People, a_keeper, blob, granted, log, people, saved


@pytest.fixture
def folk() -> Iterator[People]:
    with people() as made:
        yield made


def move(attempt: Attempt, node: str) -> None:
    """As if it had been another boot's, on a machine of that name."""
    writer = attempt.writers[0]
    writer.paper = writer.paper._replace(boot_id="another", node=node)


async def settled(keeper: Keeper, attempt: Attempt, token: str) -> None:
    """Until a snapshot is noted to be on disk."""
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(belief.settle_forever, keeper, 0.01)
            while not chunks.noted(attempt.directory, token):  # noqa: ASYNC110 - a file tells of no event
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


async def test_what_was_on_disk_before_a_reboot_is_believed_after_it(folk: People, tmp_path: Path) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1)
        attempt, (share,) = found.attempt, tuple(found.attempt.checkpoints)
        await settled(keeper, attempt, "t1")
        move(attempt, disk.node_name())
        belief.check(attempt, share)
        os.unlink(blobs.path_of(attempt.directory, "t1") + NOTE)
        with pytest.raises(blobs.BlobGoneError):
            belief.check(attempt, share)
        (told,) = (await listing.listed(keeper, Asker(ME, attempt), CheckpointsAsked())).checkpoints
        assert not told["complete"], "a torn one is not offered either"


async def test_what_came_from_another_machine_is_believed_unless_it_has_holes(
    folk: People, tmp_path: Path
) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1)
        attempt, (share,) = found.attempt, tuple(found.attempt.checkpoints)
        move(attempt, "compute-17")
        attempt.adopted = True
        belief.check(attempt, share)
        torn(attempt, "t1")
        with pytest.raises(blobs.BlobGoneError):
            belief.check(attempt, share)


def torn(attempt: Attempt, token: str) -> None:
    """As a disk leaves it that lost its power: the second half was never written."""
    os.truncate(blobs.path_of(attempt.directory, token), SIZE // 2)
    os.truncate(blobs.path_of(attempt.directory, token), SIZE)


async def kept_file(keeper: Keeper, found: Any, token: str) -> FileVersion:
    blob(found.attempt, token)
    log(keeper, found, 1, kind=Kind.FILE, value={"name": "f", "blob": token, "size": SIZE})
    return found.attempt.files[token]


async def test_a_file_that_a_reboot_tore_is_no_version_of_it_and_a_whole_one_is(
    folk: People, tmp_path: Path
) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        whole, broken = [await kept_file(keeper, found, token) for token in ("t1", "t2")]
        torn(found.attempt, "t2")
        belief.check_file(found.attempt, broken)  # of this boot: a hole is the user's own
        move(found.attempt, disk.node_name())
        belief.check_file(found.attempt, whole)
        with pytest.raises(blobs.BlobGoneError, match="when the machine went down"):
            belief.check_file(found.attempt, broken)


async def test_files_that_wait_for_a_hub_are_on_disk_soon(folk: People, tmp_path: Path) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        await kept_file(keeper, found, "t1")
        await settled(keeper, found.attempt, "t1")


async def test_what_is_doubted_stays_for_a_person_until_the_hub_has_a_newer_one(
    folk: People, tmp_path: Path
) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2, 3)
        attempt = found.attempt
        torn(attempt, "t2")
        first, second, third = sorted(attempt.checkpoints, key=lambda one: one.step)
        assert blobs.path_of(attempt.directory, "t1") in belief.remains(attempt, first)
        assert belief.remains(attempt, second) == ""
        for one in (first, second):
            attempt.checkpoints.moved(one, stage=Stage.MISSING)
        assert belief.doubted([attempt], attempt) == {"t1"}
        retire._drop_old_files(keeper, attempt)
        assert set(blobs.tokens(attempt.directory)) == {"t1", "t3"}
        attempt.checkpoints.moved(third, stage=Stage.SENT, time=first.time + 1)
        assert belief.doubted([attempt], attempt) == set()
