"""What a node gives back of a run by itself: files and checkpoints that its history shows, as the hub would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from respool.wire.file_messages import CheckpointsAsked, Restore
from respool.wire.frames import Kind
from respool.wire.identity import FIRST_JOINED
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Stage
from respoold.core.errors import HubAway
from respoold.core.file_version import Blob
from respoold.io import blobs
from respoold.tasks.asker import Asker
from respoold.tasks.attach import Granted
from respoold.tasks.keeper import Keeper
from respoold.tasks.listing import listed
from respoold.tasks.restore import restore
from respoold.tasks.retire import retire_if_complete
from unit.tasks.kit import ME, FakeHub, People, a_keeper, granted, log, people

AXIS = "trainer/global_step"


def train(keeper: Keeper, found: Granted, first: int, *steps: int, axis: bool = False) -> None:
    """At each of these steps of the run a row, a version of a file and a checkpoint; the trainer is at `first`."""
    for at, step in enumerate(steps, first):
        token = f"t{found.attempt.id[:6]}-{step}"
        for name in (f"{token}-f", f"{token}-c"):
            Path(blobs.path_of(found.attempt.directory, name)).write_bytes(f"{at}".encode())
        size, where = len(f"{at}"), found
        log(keeper, where, step, value={"loss": 1.0, **({AXIS: at} if axis else {})})
        part = {"name": "", "blob": f"{token}-c", "size": size}
        value: dict[str, Any] = {"name": "checkpoint", "step": at, "parts": [part]}
        log(keeper, where, step, kind=Kind.CHECKPOINT, value=value)
        log(keeper, where, step, kind=Kind.FILE, value={"name": "f", "blob": f"{token}-f", "size": size})


async def next_life(keeper: Keeper, who: People, before: Granted | None = None) -> Granted:
    if before is not None:
        who.kill(before.attempt.request)
    return await granted(keeper, who.ask(launch=f"L{len(list(keeper.node))}", resume="allow"))


async def given_back(keeper: Keeper, found: Granted) -> tuple[str, list[int]]:
    """The file's content, and the steps of the checkpoints."""
    answer, fd = await restore(keeper, Asker(ME, found.attempt), Restore("f"))
    assert fd is not None, answer
    with os.fdopen(fd, "rb") as file:
        content = file.read().decode()
    told = await listed(keeper, Asker(ME, found.attempt), CheckpointsAsked())
    return content, [one["step"] for one in told.checkpoints]


@pytest.mark.parametrize("how", ["rewound", "logged again", "on an axis"])
async def test_what_a_cut_hides_is_not_given_back_without_the_hub(tmp_path: Path, how: str) -> None:
    axis = how == "on an axis"
    async with a_keeper(str(tmp_path / "spool")) as keeper:
        with people() as who:
            first = await next_life(keeper, who)
            train(keeper, first, 0, *range(10), axis=axis)
            second = await next_life(keeper, who, first)
            assert await given_back(keeper, second) == ("9", [*range(9, -1, -1)])
            match how:
                case "rewound":
                    log(keeper, second, kind=Kind.CUT, value={"step": 6})
                case "logged again":
                    log(keeper, second, 6, 7)
                case "on an axis":
                    log(keeper, second, 10, value={AXIS: 6})
            assert await given_back(keeper, second) == ("5", [5, 4, 3, 2, 1, 0])
            third = await next_life(keeper, who, second)
            train(keeper, third, 3, *((11, 12) if axis else (3, 4)), axis=axis)
            assert await given_back(keeper, third) == ("4", [4, 3, 2, 1, 0])


async def test_a_younger_life_whose_folder_is_gone_is_continued_and_not_the_older_one_kept_for_its_files(
    tmp_path: Path,
) -> None:
    spool = str(tmp_path / "spool")
    with people() as who:
        async with a_keeper(spool, FakeHub()) as keeper:
            hub = keeper.uplinks.of(ME, None).hub  # type: ignore[union-attr]
            lives = [who.ask(resume="allow", launch=f"L{n}", started_at=n + 1.0) for n in range(3)]
            first = await granted(keeper, lives[0])
            train(keeper, first, 0, 0, 1)
            who.kill(lives[0])
            told = {"attempt_id": "cd" * 16, "resumed": True, "parent": first.attempt.id, "step": 2}
            hub.answers.append(told)  # type: ignore[attr-defined]
            second = await granted(keeper, lives[1])
            log(keeper, second, 2, 3, 4)
            who.kill(lives[1])
            for attempt in (first.attempt, second.attempt):
                await let_go(keeper, attempt)
            assert [one.id for one in keeper.node] == [first.attempt.id]
        async with a_keeper(spool, FakeHub()) as keeper:
            keeper.uplinks.of(ME, None).shut = "it is away"  # type: ignore[union-attr]
            third = await granted(keeper, lives[2])
            assert (third.attempt.file.parent, third.attached.step) == (second.attempt.id, 5)
            log(keeper, third, 5)
            who.kill(lives[2])
            fourth = await granted(keeper, who.ask(resume="allow", launch="L3", started_at=4.0))
            assert (fourth.attempt.file.parent, fourth.attached.step) == (third.attempt.id, 6)


async def let_go(keeper: Keeper, attempt: Attempt) -> None:
    """It is dead, the hub has all of it, and its segments leave the shelf."""
    keeper.died(attempt, 0)
    while any(keeper.look(reader) for reader in keeper.readers_of(attempt)):
        pass
    attempt.acknowledge(0, attempt.tail(0).next_seq)
    for version in attempt.files.values():
        attempt.files[version.token] = version._replace(state=Blob.SENT)
    for share in attempt.checkpoints:
        attempt.checkpoints.moved(share, stage=Stage.SENT)
    attempt.reported |= {one.key for one in attempt.unreported()}
    await retire_if_complete(keeper, attempt)
    keeper.shelf.clear(ME)
    await retire_if_complete(keeper, attempt)


async def test_a_guests_steps_and_files_are_its_own_without_the_hub(tmp_path: Path) -> None:
    async with a_keeper(str(tmp_path / "spool")) as keeper:
        with people() as who:
            first = await next_life(keeper, who)
            train(keeper, first, 0, *range(10))
            guest = await granted(keeper, who.ask(launch="G", rank=-1, resume="allow", join=True))
            assert guest.attached.step == 10
            value = {"name": "report", "blob": "g-report", "size": 2}
            Path(blobs.path_of(first.attempt.directory, "g-report")).write_bytes(b"ok")
            log(keeper, guest, 5, 500)
            log(keeper, guest, 500, kind=Kind.FILE, value=value)
            second = await next_life(keeper, who, first)
            assert second.attached.step == 10
            train(keeper, second, 7, 7, 8)
            answer, fd = await restore(keeper, Asker(ME, second.attempt), Restore("report"))
            assert fd is not None, answer
            os.close(fd)
            assert await given_back(keeper, second) == ("8", [8, 7, 6, 5, 4, 3, 2, 1, 0])


async def test_a_node_of_guests_alone_leaves_the_step_to_the_hub(tmp_path: Path) -> None:
    async with a_keeper(str(tmp_path / "spool"), FakeHub()) as keeper:
        with people() as who:
            hub = keeper.uplinks.of(ME, None).hub  # type: ignore[union-attr]
            told = {
                "attempt_id": "cd" * 16,
                "writer": FIRST_JOINED + 1,
                "joined": True,
                "resumed": True,
                "step": 10,
            }
            hub.answers.append(told)  # type: ignore[attr-defined]
            guest = await granted(keeper, who.ask(launch="G", rank=-1, resume="allow", join=True))
            log(keeper, guest, 500)
            who.kill(guest.attempt.request)
            told = {"attempt_id": "ef" * 16, "resumed": True, "parent": guest.attempt.id, "step": 42}
            hub.answers.append(told)  # type: ignore[attr-defined]
            life = await granted(keeper, who.ask(launch="L9", resume="allow"))
            assert (life.attempt.file.parent, life.attached.step) == (guest.attempt.id, 42)


@pytest.mark.parametrize("damage", ["flipped", "cut"])
async def test_a_file_that_is_damaged_here_is_not_given_back(tmp_path: Path, damage: str) -> None:
    async with a_keeper(str(tmp_path / "spool")) as keeper:
        with people() as who:
            found = await next_life(keeper, who)
            train(keeper, found, 0, 3)
            (version,) = found.attempt.files.values()
            path = Path(blobs.path_of(found.attempt.directory, version.token))
            digest = blobs.settle(found.attempt.directory, version.token, version.size)
            found.attempt.files[version.token] = version._replace(digest=digest, state=Blob.SENT)
            assert (await given_back(keeper, found))[0] == "0"
            path.write_bytes(b"1" if damage == "flipped" else b"")
            answer, fd = await restore(keeper, Asker(ME, found.attempt), Restore("f"))
            assert (fd, answer.error) == (None, "'f' is not on this node and no hub is configured")
            (said,) = keeper.complaints(ME)
            assert said.endswith("; the hub's copy is given back")


async def test_a_file_for_which_the_spool_has_no_room_is_an_answer_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    async with a_keeper(str(tmp_path / "spool"), FakeHub()) as keeper:
        monkeypatch.setattr("respoold.tasks.restore._download", full)
        answer, fd = await restore(keeper, Asker(ME, None), Restore("f", "p/r"))
        assert fd is None
        assert "No space left on device" in str(answer.error)


async def test_only_of_a_run_that_began_here_is_it_certain_without_the_hub_that_it_has_no_such_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise HubAway("no answer")

    monkeypatch.setattr("respoold.tasks.restore._download", away)
    async with a_keeper(str(tmp_path / "spool"), FakeHub()) as keeper:
        with people() as who:
            first = await next_life(keeper, who)
            train(keeper, first, 0, 0)
            keeper.uplinks.of(ME, None).shut = "it is away"  # type: ignore[union-attr]
            second = await next_life(keeper, who, first)
            asked = [(first.attempt, None), (second.attempt, None), (first.attempt, "p/other")]
            found = [
                (await restore(keeper, Asker(ME, attempt), Restore("x", run)))[0] for attempt, run in asked
            ]
    assert [one.uncertain for one in found] == [False, True, True]
    assert all("the hub does not give it: no answer" in str(one.error) for one in found)
