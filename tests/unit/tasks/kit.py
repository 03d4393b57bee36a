"""A keeper with a spool of its own, real processes that live as long as they are let, and a hub that is none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio

from respool.wire import codec
from respool.wire.attempt import Request
from respool.wire.frames import Kind, encode
from respool.wire.messages import Refused
from respool.wire.segment import DATA
from respoold.config import Config
from respoold.core.attempt import Attempt
from respoold.core.hubapi import AttachAnswer, AttachRequest, StateReport
from respoold.io import blobs, disk, processes
from respoold.tasks.attach import Granted, attach
from respoold.tasks.keeper import Keeper

ME = os.getuid()


SIZE = 1 << 20
"""Bytes of a snapshot."""


class People:
    """Processes that do nothing but live."""

    def __init__(self) -> None:
        self._all: dict[int, subprocess.Popen[bytes]] = {}
        self._calls = 0

    def ask(self, pid: int | None = None, **more: Any) -> Request:
        """A request of a process, a new one unless it is named."""
        if pid is None:
            process = subprocess.Popen(["sleep", "600"])
            self._all[process.pid] = process
            pid = process.pid
        found = processes.vouch(pid)
        assert found is not None
        self._calls += 1
        call = f"{found.boot_id}:{pid}:{found.start_time}:{self._calls}"
        known = {"launch": "L", "rank": 0, "node": disk.node_name(), **found._asdict(), **more}
        return Request(
            known.pop("project", "p"), known.pop("run_id", "r"), known.pop("original_id", "r"), call, **known
        )

    def kill(self, *requests: Request) -> None:
        for one in requests:
            self._all[one.pid].kill()
            self._all[one.pid].wait()


@contextmanager
def people() -> Iterator[People]:
    made = People()
    try:
        yield made
    finally:
        for process in made._all.values():
            process.kill()
            process.wait()


class Caller:
    """Who asks: notes what it is told to wait for, and acts then."""

    def __init__(self, act: Callable[[], None] | None = None, *, there: bool = True) -> None:
        self.waited: list[str] = []
        self._act, self._there = act, there

    async def wait(self, reason: str, seconds: float) -> None:
        self.waited.append(reason)
        if self._act is not None:
            self._act()

    def there(self) -> bool:
        return self._there


class FakeHub:
    """Answers an attach with `answer`, changed by the fields of `answers` in turn. Notes `asked` and `told`."""

    credential = None

    def __init__(self) -> None:
        self.asked: list[AttachRequest] = []
        self.told: list[tuple[str, StateReport]] = []
        self.answer = AttachAnswer("ada", "p", "r", 1, "hub-1", attempt_id="ab" * 16)
        self.answers: list[dict[str, Any]] = []

    async def attach(self, request: AttachRequest) -> AttachAnswer:
        self.asked.append(request)
        given = {
            "run_id": request.run_id,
            **({"attempt_id": request.attempt_id} if request.attempt_id else {}),
        }
        return self.answer._replace(**given)._replace(**(self.answers.pop(0) if self.answers else {}))

    async def report(self, attempt_id: str, report: StateReport) -> None:
        self.told.append((attempt_id, report))


@asynccontextmanager
async def a_keeper(
    spool: str, hub: FakeHub | None = None, url: str = "http://hub", **config: Any
) -> AsyncIterator[Keeper]:
    """A daemon's keeper without its tasks; what it keeps stays on disk."""
    values = {"free_floor": 0.0, "blobs_quota": 1 << 30, "heartbeat": 0.2, **config}
    with disk.hold(spool) as root:
        keeper = Keeper(Config(spool, spool + "/s", hub=url if hub else None, **values), root)
        if hub is not None:
            uplink = keeper.uplinks.of(ME, None)
            assert uplink is not None
            uplink.hub, uplink.shut = hub, None  # type: ignore[assignment]
        keeper.load()
        try:
            yield keeper
        finally:
            for reader in keeper.readers.values():
                reader.close()
            for attempt in keeper.node:
                keeper.save(attempt)


async def granted(keeper: Keeper, request: Request, caller: Caller | None = None) -> Granted:
    """The answer to a request that is granted; its descriptors are closed."""
    answer = await attach(keeper, ME, request, caller or Caller())
    assert isinstance(answer, Granted), answer
    for fd in answer.fds:
        os.close(fd)
    return answer


async def refused(keeper: Keeper, request: Request, caller: Caller | None = None) -> Refused:
    answer = await attach(keeper, ME, request, caller or Caller())
    assert isinstance(answer, Refused), answer
    return answer


def log(keeper: Keeper, found: Granted, *steps: int, kind: Kind = Kind.ROW, value: Any = None) -> None:
    """Write records into the first segment, and let the keeper look."""
    reader = keeper.readers[found.attempt.id, found.attached.writer]
    fd, at = reader.descriptor(0), reader.tail.offset
    assert at >= DATA
    for seq, step in enumerate(steps or (0,), reader.tail.next_seq):
        frame = encode(kind, codec.pack(value or {"n": step}), seq=seq, step=step, time=0.0)
        os.pwrite(fd, frame, at)
        at += len(frame)
    while keeper.look(reader):
        pass


def blob(attempt: Attempt, token: str) -> None:
    """A snapshot of SIZE bytes."""
    fd = blobs.create(attempt.directory, token)
    os.write(fd, os.urandom(SIZE))
    os.fsync(fd)
    os.close(fd)


async def saved(keeper: Keeper, found: Any, *steps: int) -> None:
    """Checkpoints of SIZE bytes each, handed over."""
    for step in steps:
        blob(found.attempt, f"t{step}")
        said = {"name": "c", "step": step, "parts": [{"name": "", "blob": f"t{step}", "size": SIZE}]}
        log(keeper, found, step, kind=Kind.CHECKPOINT, value=said)


async def until(true: Callable[[], object]) -> None:
    """What threads and processes do rings no bell of a test's, and takes no time of a clock that it moves."""
    while not true():  # noqa: ASYNC110 - as said
        await trio.sleep(0.01)
