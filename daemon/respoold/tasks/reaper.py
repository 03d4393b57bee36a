"""Watching the processes that log here: each until its pidfd says that it has ended."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NoReturn

import trio

from respoold.core.attempt import Attempt
from respoold.core.writer import Writer
from respoold.io import processes
from respoold.tasks.ends import learned
from respoold.tasks.keeper import Keeper

REAPED_SECONDS = 1.0
"""How long a process's death may wait for its parent to ask how it ended: before, the kernel tells nobody."""

PAUSE_SECONDS = 0.02


async def watch_processes(keeper: Keeper) -> NoReturn:
    """One watcher per living process; writers that come later ring `births`."""
    watched = set[Writer]()
    async with trio.open_nursery() as nursery:
        while True:
            for attempt in keeper.node:
                for writer in attempt.writers.values():
                    if writer.alive and writer not in watched:
                        watched.add(writer)
                        nursery.start_soon(_watch, keeper, attempt, writer, watched)
            await keeper.births.wait()


async def _watch(keeper: Keeper, attempt: Attempt, writer: Writer, watched: set[Writer]) -> None:
    process = writer.paper.process
    pidfd = keeper.pidfds.pop(writer) if writer in keeper.pidfds else processes.open_pidfd(process)
    writer.above = frozenset(processes.ancestors(writer.paper.pid)) if pidfd is not None else frozenset()
    if pidfd is not None:
        try:
            await trio.lowlevel.wait_readable(pidfd)
            writer.died_at = trio.current_time()
            await _ask(keeper, attempt, writer, pidfd)
        finally:
            trio.lowlevel.notify_closing(pidfd)
            os.close(pidfd)
    writer.died_at = writer.died_at or trio.current_time()
    watched.discard(writer)
    keeper.died(attempt, writer.slot)


async def _ask(keeper: Keeper, attempt: Attempt, writer: Writer, pidfd: int) -> None:
    """What it exited with, where its own record leaves that open and the kernel tells. A daemon's own writer names a
    process of the job, whose end is another's to tell.
    """
    reader = keeper.readers.get((attempt.id, writer.slot))
    while reader is not None and keeper.look(reader):
        await trio.lowlevel.checkpoint()
    if reader is not None and keeper.live is not None:
        await keeper.live.last(attempt, reader)
    if writer.daemons or not attempt.doubtful(writer.slot):
        return
    with suppress(OSError), trio.move_on_after(REAPED_SECONDS):
        while True:
            before = attempt.end_of(writer.slot)
            try:
                writer.status = processes.exit_code_of(pidfd)
            except processes.NotYetError:
                await trio.sleep(PAUSE_SECONDS)
            else:
                await learned(keeper, attempt, before)
                return
