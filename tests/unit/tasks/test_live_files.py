"""The daemon's watch over live files: whose it takes, what it says, and what a full spool costs."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from respool.later_versions import stamp_at
from respool.wire.file_messages import Changed, Watch, Watched
from respool.wire.frames import Kind
from respoold.io import blobs
from respoold.tasks.attach import Granted
from respoold.tasks.keeper import Keeper
from respoold.tasks.live_files import LiveFiles
from unit.tasks.kit import ME, SIZE, People, a_keeper, granted, log, people, until


@pytest.fixture
def folk() -> Iterator[People]:
    with people() as made:
        yield made


@pytest.fixture
def swift() -> MockClock:
    """A second, of those that a file takes to settle, is a twentieth of one."""
    return MockClock(rate=20)


class Scene:
    """A trainer with one saved file, and what the daemon said to it."""

    def __init__(self, keeper: Keeper, live: LiveFiles, found: Granted, path: Path) -> None:
        self.keeper, self.live, self.attempt, self.path = keeper, live, found.attempt, path
        self.reader = keeper.readers[found.attempt.id, 0]
        self.said: list[Any] = []
        keeper.voices.add(self.attempt.id, 0, lambda message, *_: self.said.append(message))
        path.write_bytes(b"first")
        log(keeper, found, -1, kind=Kind.FILE, value={"name": "x", "blob": "t0", "size": 5})

    def wish(self, uid: int = ME, **other: Any) -> None:
        asked = Watch("x", str(self.path), "t0", list(stamp_at(str(self.path)) or ()))
        self.live.wish(uid, self.reader, asked._replace(**other))

    @property
    def held(self) -> list[str]:
        return blobs.tokens(self.attempt.directory)


@asynccontextmanager
async def a_scene(folk: People, folder: Path, **config: Any) -> AsyncIterator[Scene]:
    async with a_keeper(str(folder / "spool"), **config) as keeper, trio.open_nursery() as nursery:
        keeper.live = LiveFiles(keeper)
        nursery.start_soon(keeper.live.watch)
        found = await granted(keeper, folk.ask())
        await wait_all_tasks_blocked()
        yield Scene(keeper, keeper.live, found, folder / "x")
        nursery.cancel_scope.cancel("the test is over")


async def test_what_settles_is_snapshotted_and_told_until_a_record_names_it(
    folk: People, tmp_path: Path, swift: MockClock
) -> None:
    async with a_scene(folk, tmp_path) as scene:
        scene.wish()
        await until(lambda: scene.said == [Watched(["x"])])
        scene.path.write_bytes(b"second")
        await until(lambda: len(scene.said) == 2)
        told = scene.said[1]
        assert isinstance(told, Changed)
        assert (told.name, told.base, told.file["size"]) == ("x", "t0", 6)
        assert Path(blobs.path_of(scene.attempt.directory, told.token)).read_bytes() == b"second"
        scene.wish()
        await until(lambda: scene.said[2:] == [told, Watched(["x"])])
        scene.wish(path="")
        await until(lambda: not scene.held)


@pytest.mark.parametrize(
    "wrong",
    [{"uid": ME + 1}, {"stamp": [1, 2]}, {"path": ""}, {"path": "x"}, {"path": "/x\0y"}],
    ids=["another user", "a bad stamp", "no path", "a relative path", "no possible path"],
)
async def test_what_is_not_ours_to_read_or_makes_no_sense_is_not_watched(
    folk: People, tmp_path: Path, swift: MockClock, wrong: dict[str, Any]
) -> None:
    async with a_scene(folk, tmp_path) as scene:
        scene.wish(**wrong)
        await trio.sleep(5)
        assert scene.said == []


async def test_a_disk_that_fails_is_told_of_and_looked_at_again(
    folk: People, tmp_path: Path, swift: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_scene(folk, tmp_path) as scene:
        with monkeypatch.context() as failing:

            def fail(*_: object) -> None:
                raise OSError(errno.EIO, "the disk")

            failing.setattr("respoold.tasks.live_files.vault.make_room", fail)
            scene.wish()
            await until(lambda: scene.said)
            scene.path.write_bytes(b"second")
            await until(lambda: scene.keeper.complaints(ME))
            assert "live files cannot be watched" in scene.keeper.complaints(ME)[0]
        await until(lambda: len(scene.said) == 2)
        assert not scene.keeper.complaints(ME)


async def test_a_dead_process_is_not_watched_for(folk: People, tmp_path: Path, swift: MockClock) -> None:
    async with a_scene(folk, tmp_path) as scene:
        folk.kill(scene.attempt.request)
        scene.wish()
        await trio.sleep(5)
        assert scene.said == []


async def test_a_version_without_room_is_passed_over_with_a_word(
    folk: People, tmp_path: Path, swift: MockClock
) -> None:
    async with a_scene(folk, tmp_path, blobs_quota=SIZE) as scene:
        scene.wish()
        await until(lambda: scene.said)
        scene.path.write_bytes(bytes(2 * SIZE))
        await until(lambda: scene.keeper.complaints(ME))
        assert "are missing" in scene.keeper.complaints(ME)[0]
        scene.path.write_bytes(b"smaller")
        await until(lambda: len(scene.said) == 2)
        assert scene.said[1].file["size"] == 7


async def test_the_last_one_of_a_dead_trainer_is_recorded_in_its_place(
    folk: People, tmp_path: Path, swift: MockClock
) -> None:
    async with a_scene(folk, tmp_path) as scene:
        scene.wish()
        await until(lambda: scene.said)
        scene.path.write_bytes(b"second")
        await until(lambda: len(scene.said) == 2)
        await scene.live.last(scene.attempt, scene.reader)
        while scene.keeper.look(scene.reader):
            pass
        newest = list(scene.attempt.files.values())[-1]
        assert (newest.token, newest.name, newest.size) == (scene.said[1].token, "x", 6)
        assert os.path.basename(blobs.path_of(scene.attempt.directory, newest.token)) in scene.held
