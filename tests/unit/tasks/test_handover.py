"""What a client may hand over, and what a hostile one gains: nothing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from respool.wire.connection import Connection, Role
from respool.wire.errors import RemoteProtocolError
from respool.wire.limits import MAX_FDS
from respool.wire.messages import Adopt, Adopted, Refused
from respoold.config import Config
from respoold.io import disk, passed
from respoold.tasks import handover
from respoold.tasks.handover import Handover
from respoold.tasks.keeper import Keeper
from unit.io.spools import ATTEMPT_ID, REQUEST, a_spool

ME = os.getuid()
PAPER: dict[str, Any] = {"attempt_id": ATTEMPT_ID, "request": REQUEST, "uid": 4711}


class Desk:
    """A daemon's counter: what is passed over it, and its answers."""

    def __init__(self, keeper: Keeper, counter: Handover) -> None:
        self.keeper = keeper
        self.counter = counter

    async def ask(
        self, paper: dict[str, Any], files: dict[str, int], *, last: bool = True, uid: int = ME
    ) -> Adopted | Refused:
        answers = list[Any]()
        arrived = trio.Event()

        def reply(answer: Any) -> None:
            answers.append(answer)
            arrived.set()

        self.counter.offer(uid, Adopt(paper, list(files), last), [os.dup(fd) for fd in files.values()], reply)
        with trio.fail_after(20):
            await arrived.wait()
        assert len(answers) == 1
        return answers[0]  # type: ignore[no-any-return]

    def folder(self, attempt_id: str = ATTEMPT_ID) -> str:
        return disk.attempt_directory(self.keeper.root, ME, attempt_id)


@asynccontextmanager
async def a_desk(tmp_path: Path, **config: Any) -> AsyncIterator[Desk]:
    values = {"free_floor": 0.0, "blobs_quota": 1 << 30, **config}
    with disk.hold(str(tmp_path / "spool")) as root:
        keeper = Keeper(Config(str(tmp_path / "spool"), str(tmp_path / "s"), **values), root)
        async with trio.open_nursery() as nursery:
            try:
                yield Desk(keeper, Handover(keeper, nursery))
            finally:
                nursery.cancel_scope.cancel()
                for attempt in keeper.node:
                    keeper.forget(attempt)


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "w0-000000.seg"
    path.write_bytes(a_spool([[0, 0, 0]], [0]).segments[0])
    return path


def opened(path: Path, flags: int = os.O_RDONLY) -> int:
    return os.open(path, flags | os.O_CLOEXEC)


async def test_an_attempt_is_copied_kept_and_the_kernels_word_counts(tmp_path: Path, segment: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"weights")
    async with a_desk(tmp_path) as desk:
        assert await desk.ask(PAPER, {}, last=False) == Adopted(ATTEMPT_ID, "unknown")
        first = await desk.ask(PAPER, {"blobs/w0-1": opened(blob)}, last=False)
        assert first == Adopted(ATTEMPT_ID, "partly")
        assert await desk.ask(PAPER, {segment.name: opened(segment)}) == Adopted(ATTEMPT_ID, "kept")
        attempt = desk.keeper.node.get(ATTEMPT_ID)
        assert attempt is not None
        assert (attempt.file.uid, attempt.adopted) == (ME, False)
        assert Path(os.path.join(desk.folder(), "blobs", "w0-1")).read_bytes() == b"weights"
        assert Path(desk.folder(), segment.name).read_bytes().rstrip(b"\0") == segment.read_bytes().rstrip(
            b"\0"
        )
        again = await desk.ask(PAPER, {segment.name: opened(segment)})
        assert again == Adopted(ATTEMPT_ID, "kept")


async def test_what_the_hub_has_is_complete_and_not_copied_again(tmp_path: Path, segment: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.ask(PAPER, {segment.name: opened(segment)})
        attempt = desk.keeper.node.get(ATTEMPT_ID)
        assert attempt is not None
        desk.keeper.forget(attempt)
        disk.delete_attempt(attempt.directory)
        assert await desk.ask(PAPER, {segment.name: opened(segment)}) == Adopted(ATTEMPT_ID, "complete")
        assert not os.path.exists(desk.folder())


async def test_an_attempt_of_somebody_else_is_not_touched(tmp_path: Path, segment: Path) -> None:
    async with a_desk(tmp_path) as desk:
        await desk.ask(PAPER, {segment.name: opened(segment)})
        answer = await desk.ask(PAPER, {}, uid=ME + 1)
        assert isinstance(answer, Refused)
        assert "for somebody else" in answer.cause


@pytest.mark.parametrize(
    "name",
    ["../../x", "/etc/passwd", "attempt.json", "progress", "w0-0.seg/..", "blobs/../x", "blobs/", "blobs/a/b",
     "w0-000000.seg.part", "quarantine/x", "w.json", "", "w0-000000.seg\0"],
)  # fmt: skip
async def test_a_name_that_is_no_file_of_an_attempt_is_refused(
    tmp_path: Path, segment: Path, name: str
) -> None:
    async with a_desk(tmp_path) as desk:
        answer = await desk.ask(PAPER, {name: opened(segment)})
        assert isinstance(answer, Refused)
        assert "is no file of an attempt" in answer.cause
        assert not os.path.exists(desk.folder())


@pytest.mark.parametrize("attempt_id", ["../" * 10 + "x", "", "AB" * 16, "ab" * 17, "a/" * 16])
async def test_an_attempt_id_that_could_be_a_path_is_refused(
    tmp_path: Path, segment: Path, attempt_id: str
) -> None:
    async with a_desk(tmp_path) as desk:
        answer = await desk.ask(PAPER | {"attempt_id": attempt_id}, {segment.name: opened(segment)})
        assert isinstance(answer, Refused)
        assert answer.code == "bad-request"


async def test_papers_that_are_none_are_refused(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        for paper in ({}, {"attempt_id": 3}, PAPER | {"request": {}}, PAPER | {"format": 99}):
            assert isinstance(await desk.ask(paper, {}), Refused)


def odd_descriptors(tmp_path: Path) -> dict[str, int]:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("x")
    ours, theirs = socket.socketpair()
    theirs.close()
    return {
        "fifo": os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK),
        "folder": opened(tmp_path, os.O_DIRECTORY),
        "device": os.open("/dev/zero", os.O_RDONLY),
        "socket": ours.detach(),
        "path only": os.open(tmp_path / "file", os.O_PATH),
        "write only": os.open(tmp_path / "file", os.O_WRONLY),
        "memory": os.open("/proc/self/mem", os.O_RDONLY),
    }


async def test_a_descriptor_that_is_no_plain_file_of_this_user_is_refused_and_closed(tmp_path: Path) -> None:
    odd = odd_descriptors(tmp_path)
    async with a_desk(tmp_path) as desk:
        for what, fd in odd.items():
            before = len(os.listdir("/proc/self/fd"))
            answer = await desk.ask(PAPER, {"w0-000000.seg": fd})
            if what == "memory":  # a regular file without a size or data: nothing is what comes of it
                assert isinstance(answer, (Adopted, Refused)), what
            else:
                assert isinstance(answer, Refused), what
                assert answer.code == "forbidden", what
            assert len(os.listdir("/proc/self/fd")) == before, what
            os.close(fd)


async def test_a_file_of_another_user_is_refused(tmp_path: Path, segment: Path) -> None:
    async with a_desk(tmp_path) as desk:
        answer = await desk.ask(PAPER, {segment.name: opened(segment)}, uid=ME + 1)
        assert isinstance(answer, Refused)
        assert f"is a file of uid {ME}, not of uid {ME + 1}" in answer.cause


async def test_a_file_larger_than_the_quota_is_refused_before_a_byte_is_copied(tmp_path: Path) -> None:
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 1 << 40)
    fd = os.open(tmp_path / "huge", os.O_WRONLY)
    os.pwrite(fd, b"end", (1 << 40) - 3)
    os.close(fd)
    async with a_desk(tmp_path) as desk:
        for name in ("w0-000000.seg", "blobs/x"):
            answer = await desk.ask(PAPER, {name: opened(tmp_path / "huge")})
            assert isinstance(answer, Refused)
            assert answer.code == "quota"
        assert not os.path.exists(desk.folder())


async def test_parts_of_attempts_that_are_never_completed_do_not_pile_up(
    tmp_path: Path, segment: Path
) -> None:
    async with a_desk(tmp_path) as desk:
        for number in range(5):
            paper = PAPER | {"attempt_id": f"{number:032x}"}
            answer = await desk.ask(paper, {segment.name: opened(segment)}, last=False)
            assert answer == Adopted(f"{number:032x}", "partly")
        tenant = os.path.dirname(desk.folder())
        assert [name for name in os.listdir(tenant) if len(name) == 32] == [f"{4:032x}"]


async def test_a_file_that_grows_or_shrinks_while_it_is_copied_ends_where_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"x" * 1000)
    real = passed.copy
    changes = iter([lambda: path.write_bytes(b"y" * 100), lambda: path.write_bytes(b"z" * 5000)])

    def copy(fd: int, target: str, size: int) -> None:
        next(changes)()
        real(fd, target, size)

    monkeypatch.setattr(passed, "copy", copy)
    async with a_desk(tmp_path) as desk:
        await desk.ask(PAPER, {"blobs/one": opened(path)}, last=False)
        await desk.ask(PAPER, {"blobs/two": opened(path)}, last=False)
        assert Path(os.path.join(desk.folder(), "blobs", "one")).read_bytes() == b"y" * 100
        assert Path(os.path.join(desk.folder(), "blobs", "two")).read_bytes() == b"z" * 100


async def test_a_file_system_that_hangs_holds_up_its_own_user_only(
    tmp_path: Path, segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    real = passed.measure

    def measure(fd: int, uid: int) -> int:
        if uid == ME + 1:
            release.wait(30)
        return real(fd, uid if uid == ME else ME)

    monkeypatch.setattr(passed, "measure", measure)
    monkeypatch.setattr(handover, "PATIENCE", 0.2)
    async with a_desk(tmp_path) as desk:
        stuck = await desk.ask(PAPER, {segment.name: opened(segment)}, uid=ME + 1)
        assert isinstance(stuck, Refused)
        assert "cannot be read fast enough" in stuck.cause
        still = await desk.ask(PAPER, {segment.name: opened(segment)}, uid=ME + 1)
        assert isinstance(still, Refused)
        mine = await desk.ask(PAPER, {segment.name: opened(segment)})
        assert mine == Adopted(ATTEMPT_ID, "kept")
        release.set()


async def test_offers_beyond_a_number_are_refused_at_once(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        answers = list[Any]()
        for _ in range(handover.MAX_WAITING + 3):
            desk.counter.offer(ME, Adopt(PAPER), [], answers.append)
        assert [type(answer) for answer in answers] == [Refused] * 3
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(answers) == handover.MAX_WAITING + 3


def test_descriptors_without_a_message_end_the_connection() -> None:
    server = Connection(Role.SERVER)
    server.receive_data(b"\0", list(range(1000, 1000 + 2 * MAX_FDS)))
    with pytest.raises(RemoteProtocolError, match="descriptors without a message"):
        server.receive_data(b"\0", [2000])
    assert len(server.surrender_fds()) == 2 * MAX_FDS + 1
