"""Watching the processes that log here: each until its pidfd says that it has ended."""

from __future__ import annotations

import os
from typing import NoReturn

import trio

from respoold.core.attempt import Attempt
from respoold.io import processes
from respoold.tasks.keeper import Keeper


async def watch_processes(keeper: Keeper) -> NoReturn:
    """One watcher per living process; attempts that arrive later ring `births`."""
    watched: set[str] = set()
    async with trio.open_nursery() as nursery:
        while True:
            for attempt in keeper.node:
                if attempt.alive and attempt.id not in watched:
                    watched.add(attempt.id)
                    nursery.start_soon(_watch, keeper, attempt)
            await keeper.births.wait()


async def _watch(keeper: Keeper, attempt: Attempt) -> None:
    pidfd = processes.open_pidfd(attempt.request.process)
    if pidfd is not None:
        try:
            await trio.lowlevel.wait_readable(pidfd)
        finally:
            trio.lowlevel.notify_closing(pidfd)
            os.close(pidfd)
    keeper.died(attempt)
