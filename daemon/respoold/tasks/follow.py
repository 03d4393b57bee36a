"""Following the segments: looking, syncing, telling the rest what was found.

One turn every SYNC_SECONDS while any writer is active: read what is new of each, then one thread syncs all that
moved. A record is therefore durable at most two turns after it was written, disk permitting. While nobody
writes the task sleeps; a ring wakes it.
"""

from __future__ import annotations

from typing import NoReturn

import trio

from respool.wire import limits
from respoold.io.reader import Reader
from respoold.tasks.keeper import Keeper

LOOKS_PER_TURN = 16
"""Bounds how long one turn keeps the loop: a look is at most READ_SIZE bytes, about 5 ms."""


async def follow_forever(keeper: Keeper) -> NoReturn:
    """Read and sync until cancelled."""
    limiter = trio.CapacityLimiter(1)
    while True:
        active = [reader for reader in keeper.readers.values() if _active(reader, trio.current_time())]
        if not active:
            await keeper.follow.wait()
            continue
        turn_ends = trio.current_time() + limits.SYNC_SECONDS
        more = await _look_all(keeper, active)
        await _sync_all(keeper, active, limiter)
        if more:
            await trio.lowlevel.checkpoint()
        else:
            await trio.sleep_until(turn_ends)


def _active(reader: Reader, now: float) -> bool:
    if reader.blocked:
        return False
    return reader.dirty or (not reader.finished and (reader.closing or now < reader.follow_until))


async def _look_all(keeper: Keeper, active: list[Reader]) -> bool:
    more = False
    for reader in active:
        for _ in range(LOOKS_PER_TURN):
            again = keeper.look(reader)
            await trio.lowlevel.checkpoint()
            if not again:
                break
        else:
            more = True
    return more


async def _sync_all(keeper: Keeper, active: list[Reader], limiter: trio.CapacityLimiter) -> None:
    dirty = [reader for reader in active if reader.dirty and reader.blocked is None]
    if not dirty:
        return
    for reader, outcome in await trio.to_thread.run_sync(_sync, dirty, limiter=limiter):
        if isinstance(outcome, int):
            reader.durable_seq = max(reader.durable_seq, outcome)
        else:
            await _failed(keeper, reader, outcome)
    keeper.progress.moved()


async def _failed(keeper: Keeper, reader: Reader, error: OSError) -> None:
    """The disk did not take it. The writer moves on to the next segment; a dead one has none, and stays as it
    is: its records still go to the hub from the page cache.
    """
    keeper.warn(f"the spool's disk failed: {error}; records move to a new segment")
    if reader.finished:
        reader.blocked = f"the spool's disk failed: {error}"
    else:
        await keeper.roll(reader)


def _sync(readers: list[Reader]) -> list[tuple[Reader, int | OSError]]:
    outcomes: list[tuple[Reader, int | OSError]] = []
    for reader in readers:
        try:
            outcomes.append((reader, reader.sync()))
        except OSError as error:
            outcomes.append((reader, error))
    return outcomes
