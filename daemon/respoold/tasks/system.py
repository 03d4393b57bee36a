"""Sampling what the jobs that log here do to the machine, and writing it into their attempts.

The trainer's segments are its own. So the daemon is a further writer of the attempt, in a slot that no process
gets: its records are read, synced and sent as any others, the least important of all. Every daemon takes a new
slot, and so need not know where the one before it stopped.

Such a slot ends with a process of the job, the one that its paper names: it keeps no attempt alive. While others of
the job go on, so do the samples, in another slot. None is ever taken up again.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NoReturn

import trio

from respool.wire import codec
from respool.wire.attempt import WriterFile
from respool.wire.frames import Kind, encode
from respool.wire.identity import FIRST_JOINED, joined_writer
from respool.wire.segment import DATA
from respool.wire.view import View
from respoold.core import load
from respoold.core.attempt import Attempt
from respoold.core.writer import SAMPLES, Writer
from respoold.io import disk, segments
from respoold.io.load import Eyes
from respoold.tasks.keeper import Keeper

SEGMENT = 256 << 10
"""Bytes of a segment of samples: one lasts for hours."""


class Sampled:
    """The daemon's own writer in one attempt. Owns a descriptor until `close`."""

    def __init__(self, keeper: Keeper, attempt: Attempt, slot: int, fd: int) -> None:
        self.attempt = attempt
        self._keeper = keeper
        self._slot = slot
        self._index = 0
        self._seq = 0
        self._offset = DATA
        self._fd = -1
        self._reader = keeper.open_reader(attempt, slot)
        self._take(fd)

    @property
    def over(self) -> bool:
        """Whether the process that its slot ends with has ended."""
        return self._reader.closing or self._reader.finished

    def write(self, kind: Kind, value: dict[str, object]) -> None:
        """Append one record. Raises OSError."""
        if self.over:
            return
        frame = encode(kind, codec.pack(value), seq=self._seq, time=time.time())
        if self._offset + len(frame) > SEGMENT:
            self._index, self._offset = self._index + 1, DATA
            directory = self.attempt.directory
            self._take(segments.create(directory, self.attempt.id, self._slot, self._index, SEGMENT))
        os.pwrite(self._fd, frame, self._offset)
        self._seq, self._offset = self._seq + 1, self._offset + len(frame)
        self._keeper.attend(self._reader)

    def close(self) -> None:
        """Write no more. That its process ended is recorded here too where it was recorded there, because it may
        live on.
        """
        end = _end_of(self.attempt)
        if end is not None:
            with suppress(OSError):
                self.write(Kind.STATE, {"state": "ended", "exit_code": end.exit_code, "reason": "samples"})
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _take(self, fd: int) -> None:
        self._reader.keep(self._index, fd)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = os.dup(fd)


async def sample_forever(keeper: Keeper) -> NoReturn:
    """Sample every `system_period` seconds, as long as anybody runs."""
    eyes, limiter, slots = Eyes(), trio.CapacityLimiter(1), f"{disk.node_name()}:{os.getpid()}:{time.time()}"
    samplers: dict[str, Sampled | None] = {}
    before: load.Look | None = None
    try:
        while True:
            wanted = {one.id: one for one in keeper.node if _wanted(one)}
            _let_go(samplers, wanted)
            after = await trio.to_thread.run_sync(eyes.look, limiter=limiter) if wanted else None
            if before is not None and after is not None:
                for attempt in wanted.values():
                    await _sample(
                        keeper, samplers, attempt, slots, load.sample(before, after, _roots(attempt))
                    )
            before = after
            await _pause(keeper, wanted)
    finally:
        _let_go(samplers, {})


def _wanted(attempt: Attempt) -> bool:
    asked = attempt.request.system and not attempt.adopted
    return asked and bool(_living(attempt)) and _end_of(attempt) is None


def _end_of(attempt: Attempt) -> View | None:
    """The recorded end of the job's own writers: that of the first, when all have one."""
    views = [tail.facts for slot, tail in sorted(attempt.tails.items()) if slot < FIRST_JOINED]
    return views[0] if views and all(view.state == "ended" for view in views) else None


def _living(attempt: Attempt) -> list[Writer]:
    """The processes of the job that run here, whoever of them came first. One that was seen to end is none, while its
    end is still being looked into.
    """
    found = [one for one in attempt.writers.values() if one.alive and one.died_at is None and not one.daemons]
    return sorted(found, key=lambda one: one.slot)


def _roots(attempt: Attempt) -> list[int]:
    return [one.paper.pid for one in _living(attempt)]


async def _sample(
    keeper: Keeper,
    samplers: dict[str, Sampled | None],
    attempt: Attempt,
    slots: str,
    values: dict[str, object],
) -> None:
    try:
        writer = samplers.get(attempt.id)
        if attempt.id not in samplers or (writer is not None and writer.over and _living(attempt)):
            if writer is not None:
                writer.close()
            samplers[attempt.id] = writer = await _begin(keeper, attempt, slots)
        if writer is not None and _wanted(attempt):
            writer.write(Kind.SYSTEM, values)
    except OSError as error:
        samplers[attempt.id] = None
        keeper.warn(f"{'/'.join(attempt.run)}: samples of its load cannot be kept: {error}")


async def _begin(keeper: Keeper, attempt: Attempt, slots: str) -> Sampled | None:
    """None where there is no room: samples are the first to go."""
    if await keeper.rooms.refuse_rows(attempt.file.uid, SEGMENT) or not _living(attempt):
        return None
    first = _living(attempt)[0].paper
    slot = joined_writer(f"system:{slots}:{len(attempt.writers)}")
    paper = WriterFile(slot, f"{SAMPLES}{slot}", *first.process, disk.node_name(), joined=True)

    def make() -> int:
        disk.write_writer(attempt.directory, paper)
        return segments.create(attempt.directory, attempt.id, slot, 0, SEGMENT)

    fd = await trio.to_thread.run_sync(make)
    if attempt.id not in keeper.node:
        os.close(fd)
        return None
    attempt.take_writer(paper).alive = True
    keeper.births.ring()
    return Sampled(keeper, attempt, slot, fd)


def _let_go(samplers: dict[str, Sampled | None], wanted: dict[str, Attempt]) -> None:
    for attempt_id in [one for one in samplers if one not in wanted]:
        writer = samplers.pop(attempt_id)
        if writer is not None:
            writer.close()


async def _pause(keeper: Keeper, wanted: dict[str, Attempt]) -> None:
    """Until the next sample is due; or one of these ended, so that its samples end at once."""
    if not wanted:
        await keeper.progress.wait()
        return
    with trio.move_on_after(keeper.config.system_period):
        while all(_wanted(one) for one in wanted.values()):
            await keeper.progress.wait()
