"""Watching the processes that log here: each until its pidfd says that it has ended."""

from __future__ import annotations

import os
from typing import NoReturn

import trio

from respoold.core.attempt import Attempt
from respoold.core.writer import Writer
from respoold.io import processes
from respoold.tasks.keeper import Keeper


async def watch_processes(keeper: Keeper) -> NoReturn:
    """One watcher per living process; writers that come later ring `births`."""
    watched = set[Writer]()
    async with trio.open_nursery() as nursery:
        while True:
            watched = {writer for writer in watched if writer.alive}
            for attempt in keeper.node:
                for writer in attempt.writers.values():
                    if writer.alive and writer not in watched:
                        watched.add(writer)
                        nursery.start_soon(_watch, keeper, attempt, writer)
            await keeper.births.wait()


async def _watch(keeper: Keeper, attempt: Attempt, writer: Writer) -> None:
    pidfd = processes.open_pidfd(writer.paper.process)
    writer.above = frozenset(processes.ancestors(writer.paper.pid)) if pidfd is not None else frozenset()
    if pidfd is not None:
        try:
            await trio.lowlevel.wait_readable(pidfd)
        finally:
            trio.lowlevel.notify_closing(pidfd)
            os.close(pidfd)
    writer.died_at = trio.current_time()
    keeper.died(attempt, writer.slot)
