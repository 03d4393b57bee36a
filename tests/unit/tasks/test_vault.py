"""Room for checkpoints in a full spool, with real files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest
import trio

from respool.wire import codec
from respool.wire.file_messages import BlobDone, RestorePart
from respool.wire.frames import Kind, encode
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Stage
from respoold.io import blobs, chunks
from respoold.tasks import listing, staging, upload, vault
from respoold.tasks.asker import Asker
from respoold.tasks.uploads import uploads
from unit.tasks.kit import ME, SIZE, People, a_keeper, blob, granted, people, saved


@pytest.fixture
def folk() -> Iterator[People]:
    with people() as made:
        yield made


def damage(attempt: Attempt, token: str) -> None:
    with open(blobs.path_of(attempt.directory, token), "r+b") as file:
        file.write(b"damage")


def held(attempt: Attempt) -> set[str]:
    return set(blobs.tokens(attempt.directory))


async def test_a_full_spool_lets_go_what_the_hub_has_before_it_refuses_a_new_checkpoint(
    folk: People, tmp_path: Path
) -> None:
    async with a_keeper(str(tmp_path), blobs_quota=5 * SIZE // 2) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2)
        attempt = found.attempt
        first = next(iter(attempt.checkpoints))
        attempt.checkpoints.moved(first, stage=Stage.SENT)
        blob(attempt, "t3")
        assert (await vault.judge(keeper, attempt, BlobDone({"t3": SIZE}))).error is None
        assert held(attempt) == {"t2", "t3"}
        assert [share.stage for share in attempt.checkpoints] == [Stage.DROPPED, Stage.PENDING]


async def test_unsent_ones_go_but_the_newest_and_the_new_one_is_refused_with_what_is_missing(
    folk: People, tmp_path: Path
) -> None:
    async with a_keeper(str(tmp_path), blobs_quota=5 * SIZE // 2) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2)
        assert await vault.make_room(keeper, ME, SIZE) is None
        assert held(found.attempt) == {"t2"}
        refusal = await vault.make_room(keeper, ME, 2 * SIZE)
        assert refusal == "this user's files hold 1.0 MiB of the 2.5 MiB allowed; 0.5 MiB are missing"
        assert held(found.attempt) == {"t2"}


async def test_one_that_cannot_fit_whatever_goes_for_it_costs_no_other(folk: People, tmp_path: Path) -> None:
    async with a_keeper(str(tmp_path), blobs_quota=7 * SIZE // 2) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2, 3)
        assert "3.0 MiB are missing" not in str(await vault.make_room(keeper, ME, 4 * SIZE))
        assert held(found.attempt) == {"t1", "t2", "t3"}
        assert await vault.make_room(keeper, ME, 2 * SIZE) is None
        assert held(found.attempt) == {"t3"}


async def test_a_staged_one_needs_the_room_of_what_is_still_in_memory(folk: People, tmp_path: Path) -> None:
    async with a_keeper(str(tmp_path), blobs_quota=5 * SIZE // 2) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1)
        attempt = found.attempt
        os.close(blobs.create(attempt.directory, "t2"))
        refused = await vault.judge(keeper, attempt, BlobDone({"t2": 2 * SIZE}))
        assert "0.5 MiB are missing" in str(refused.error)
        assert held(attempt) == {"t1"}
        os.close(blobs.create(attempt.directory, "t3"))
        assert (await vault.judge(keeper, attempt, BlobDone({"t3": SIZE}))).error is None


async def test_one_that_is_not_whole_here_outlives_no_other(folk: People, tmp_path: Path) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2, 3)
        attempt = found.attempt
        assert [share.step for share in vault.outlived(keeper, attempt)] == [1]
        os.truncate(blobs.path_of(attempt.directory, "t3"), SIZE - 1)
        assert vault.outlived(keeper, attempt) == []


async def test_one_that_is_being_written_from_memory_outlives_no_other_however_large_it_is(
    folk: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = threading.Event()
    monkeypatch.setattr(staging, "_copy", lambda *_: synced.wait(10))
    async with a_keeper(str(tmp_path)) as keeper, trio.open_nursery() as nursery:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2, 3)
        attempt = found.attempt
        keeper.staging = staging.Staging(nursery, lambda: None)
        with monkeypatch.context() as small:
            small.setattr(blobs, "size_of", lambda *_: 0)
            memory = os.memfd_create("staged")
            os.ftruncate(memory, SIZE)
            assert keeper.staging.begin(attempt.directory, "t3", SIZE, memory) is None
        assert vault.outlived(keeper, attempt) == []
        synced.set()
        await keeper.staging.settled(attempt.directory, "t3")
        assert [share.step for share in vault.outlived(keeper, attempt)] == [1]


async def test_what_waits_is_shown_in_the_order_in_which_it_goes_with_its_time_and_deadline(
    folk: People, tmp_path: Path
) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2)
        attempt = found.attempt
        assert [(one["step"], one["state"], one["seconds_left"]) for one in uploads(keeper, attempt)] == [
            (2, "waiting", None),
            (1, "waiting", None),
        ]
        newest = attempt.checkpoints.pending[0]
        transfer = keeper.transfers.turn(attempt.id, newest.key, trio.current_time() - 10.0)
        transfer.had(SIZE // 4)
        transfer.sent(SIZE // 4, trio.current_time())
        attempt.notices["spot"] = time() + 30.0
        first, second = uploads(keeper, attempt)
        assert (first["sent"], first["state"], first["deadline_source"]) == (SIZE // 2, "sending", "spot")
        assert first["rate"] == pytest.approx(SIZE / 40, rel=0.1)
        assert first["seconds_left"] == pytest.approx(20.0, rel=0.1)
        assert second["seconds_left"] == pytest.approx(60.0, rel=0.1)
        assert (first["in_time"], second["in_time"]) == (True, False)
        attempt.checkpoints.moved(newest, stage=Stage.SKIPPED)
        assert [(one["step"], one["state"]) for one in uploads(keeper, attempt)] == [
            (2, "sending"),
            (1, "waiting"),
        ]


async def test_a_copy_that_is_damaged_here_is_not_given_out_and_comes_from_the_hub(
    folk: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1)
        attempt, asked = found.attempt, RestorePart("c", 1, "", 0, None, None)
        chunks.settle(attempt.directory, "t1", SIZE)
        answer, fd = await listing.part(keeper, Asker(ME, attempt), asked)
        assert answer.source == "this node's spool"
        os.close(fd or -1)
        damage(attempt, "t1")
        answer, fd = await listing.part(keeper, Asker(ME, attempt), asked)
        assert (fd, answer.error) == (None, "its bytes are damaged on this node and no hub has them")
        assert keeper.complaints(ME) == ["checkpoint c at step 1 is damaged in this spool"]

        async def remote(*_: Any) -> list[dict[str, Any]]:
            part = {"rank": 0, "name": "", "size": SIZE, "digest": "d1"}
            return [{"name": "c", "step": 1, "attempt_id": attempt.id, "parts": [part]}]

        async def fetch(_hub: Any, _run: Any, digest: str, _folder: str) -> int:
            assert digest == "d1"
            return os.open("/dev/null", os.O_RDONLY)

        monkeypatch.setattr(listing, "_remote", remote)
        monkeypatch.setattr(Asker, "door", lambda *_: object())
        monkeypatch.setattr(listing.recall, "fetch", fetch)
        answer, fd = await listing.part(keeper, Asker(ME, attempt), asked)
        assert (answer.error, answer.source) == (None, "the hub")
        os.close(fd or -1)


async def test_one_that_its_process_removed_for_newer_ones_is_no_loss(folk: People, tmp_path: Path) -> None:
    async with a_keeper(str(tmp_path)) as keeper:
        found = await granted(keeper, folk.ask())
        await saved(keeper, found, 1, 2)
        attempt, reader = found.attempt, keeper.readers[found.attempt.id, found.attached.writer]
        oldest = attempt.checkpoints.pending[-1]
        assert not upload._outlived_meanwhile(keeper, attempt, oldest), "nobody has said so"
        said = {"name": "c", "step": 3, "parts": [{"name": "", "blob": "t3", "size": SIZE}]}
        os.pwrite(
            reader.descriptor(0),
            encode(Kind.CHECKPOINT, codec.pack(said), seq=reader.tail.next_seq, step=3, time=0.0),
            reader.tail.offset,
        )
        assert not upload._outlived_meanwhile(keeper, attempt, oldest), "its bytes are still to come"
        blob(attempt, "t3")
        assert upload._outlived_meanwhile(keeper, attempt, oldest)
