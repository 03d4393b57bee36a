"""The composition root: opens the doors, nests the lifetimes, defines the order of shutdown.

    spool  ⊃  background work (following, uploading, beating)  ⊃  intake

Shutdown is that nesting read from the inside: first nobody new comes in, then what is there is drained within a
grace, then the rest stays in the spool, which is no failure. A second signal cancels at once. An unexpected
exception ends the daemon: the spool is durable, and systemd starts it again.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, NamedTuple

import trio

from respool import own_daemons
from respoold.config import Config
from respoold.core.attempt import Attempt
from respoold.core.node import pending_bytes
from respoold.io import disk, notify
from respoold.io import socket as doors
from respoold.tasks.adopt import adopt_forever, adopt_spool
from respoold.tasks.belief import settle_forever
from respoold.tasks.follow import follow_forever
from respoold.tasks.foresight import SHUTDOWN_SECONDS, Foresight, shut_down
from respoold.tasks.handover import Handover
from respoold.tasks.heartbeat import speak_last
from respoold.tasks.hubs import serve_uplinks
from respoold.tasks.idle import cancel_when_idle
from respoold.tasks.intake import serve_clients
from respoold.tasks.keeper import Keeper
from respoold.tasks.live_files import LiveFiles
from respoold.tasks.reaper import watch_processes
from respoold.tasks.retire import retire_if_complete, retire_touched
from respoold.tasks.staging import Staging
from respoold.tasks.system import sample_forever
from respoold.tasks.watchdog import feed_watchdog

BUSY = 75
"""Exit status of a second daemon on the same spool or socket: EX_TEMPFAIL, it may end by itself."""


class Outcome(NamedTuple):
    """How a one-shot drain ended; `why` says what stands in the way of what is left. `given_up`: what can never be
    sent, a sentence each.
    """

    records: int
    files: int
    left_records: int
    left_files: int
    lost: int
    why: str | None
    given_up: tuple[str, ...] = ()


def serve(config: Config) -> int:
    """Run the daemon in the foreground until SIGTERM or SIGINT. Returns the process's exit status."""
    _raise_descriptor_limit()
    with suppress(PermissionError):  # a sandbox forbids it, as our own unit does, which sets it itself
        os.nice(config.nice)
    status = 0
    try:
        trio.run(_serve, config)
    except* (disk.SpoolBusyError, doors.SocketBusyError) as group:
        status = _say(group, BUSY)
    except* (disk.SpoolUnusableError, doors.SocketUnusableError) as group:
        status = _say(group, 1)
    return status


def _say(group: BaseExceptionGroup[BaseException], status: int) -> int:
    """Print the first error of a group that holds others in turn."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(f"respoold: {error}", file=sys.stderr)
    return status


def drain(spools: list[str], config: Config, report: Callable[[dict[str, Any]], None]) -> Outcome:
    """Upload everything that lies in `spools` (folders of attempts, or a stopped daemon's spool), then return.

    Returns early when the hub does not answer for `config.grace` seconds on end. Reports progress twice a
    second. Safe beside a daemon that adopts the same folders: the hub takes every record once.
    """
    _raise_descriptor_limit()
    return trio.run(_drain, spools, config, report)


async def _serve(config: Config) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with _background(config) as (keeper, background):
            with suppress(OSError):  # a home that cannot be written: runs then end with their daemon
                own_daemons.note(config.spool, os.environ)
            keeper.handover = Handover(keeper, background)
            keeper.staging = Staging(background, keeper.written)
            keeper.foresight = foresight = Foresight(keeper)
            background.start_soon(foresight.watch)
            keeper.live = LiveFiles(keeper)
            background.start_soon(keeper.live.watch)
            background.start_soon(adopt_forever, keeper)
            background.start_soon(settle_forever, keeper)
            background.start_soon(feed_watchdog, keeper)
            if config.system_period > 0:
                background.start_soon(sample_forever, keeper)
            listener = doors.listen(config.socket)
            async with trio.open_nursery() as intake:
                await intake.start(serve_clients, keeper, listener)
                notify.notify("READY=1")
                print(_ready_line(keeper), flush=True)
                await _until_told_or_idle(keeper, signals)
                notify.notify("STOPPING=1")
                if await shut_down(keeper, foresight):
                    # Trainers get their SIGTERM now, too: what they save until they are gone is still taken in.
                    await _left_alone(keeper, signals)
                intake.cancel_scope.cancel("shutting down")
            listener.close()
            _remove_socket(config.socket)
            async with trio.open_nursery() as last:
                last.start_soon(_cancel_on_signal, signals, last.cancel_scope)
                with trio.move_on_after(config.grace):
                    await _drained(keeper)
                await speak_last(keeper)
                last.cancel_scope.cancel("drained, or the grace is over")


async def _left_alone(keeper: Keeper, signals: AsyncIterator[int]) -> None:
    """Until no trainer lives, a second signal, or a machine that shuts down waits no longer."""
    with trio.move_on_after(SHUTDOWN_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope)
            while any(one.alive for one in keeper.node):
                with trio.move_on_after(1.0):
                    await keeper.progress.wait()
            nursery.cancel_scope.cancel("nobody logs here any more")


async def _until_told_or_idle(keeper: Keeper, signals: AsyncIterator[int]) -> None:
    async with trio.open_nursery() as nursery:
        if keeper.config.idle_exit:
            nursery.start_soon(cancel_when_idle, keeper, nursery.cancel_scope)
        await anext(signals)
        nursery.cancel_scope.cancel("told to stop")


@asynccontextmanager
async def _background(config: Config) -> AsyncIterator[tuple[Keeper, trio.Nursery]]:
    """The spool, held, and everything that works on it; cancelled when the block ends."""
    async with AsyncExitStack() as stack:
        root = stack.enter_context(disk.hold(config.spool))
        keeper = Keeper(config, root)
        keeper.load()
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(follow_forever, keeper)
        nursery.start_soon(watch_processes, keeper)
        nursery.start_soon(keeper.shelf.age_forever)
        nursery.start_soon(retire_touched, keeper)
        # The daemon's own, which says whether the hub is there before anybody has a run.
        keeper.uplinks.of(os.geteuid(), None)
        nursery.start_soon(serve_uplinks, keeper)
        try:
            yield keeper, nursery
        finally:
            nursery.cancel_scope.cancel("the block has ended")
            keeper.settle_all()


async def _drain(spools: list[str], config: Config, report: Callable[[dict[str, Any]], None]) -> Outcome:
    async with _background(config) as (keeper, _):
        keeper.uplinks.alone = True
        for spool in spools:
            adopt_spool(keeper, spool)
        goals = await _goals(keeper)
        for attempt in keeper.node:
            keeper.offer(attempt)
        away_since = None
        while not _quiet(keeper, goals):
            report(_report(keeper))
            with trio.move_on_after(0.5):
                await keeper.progress.wait()
            now = trio.current_time()
            away_since = None if _reachable(keeper) else away_since or now
            if away_since is not None and now - away_since >= config.grace:
                break
        await _retired(keeper)
        await speak_last(keeper)
        report(_report(keeper))
        return _outcome(keeper, goals)


async def _retired(keeper: Keeper) -> None:
    """Done with what the hub has: the last answer ends the wait for it, which would else cancel this half way. Before
    the last word, which says to the hub what is settled by it: once the folder is gone, nobody else comes to say it.
    """
    for attempt in list(keeper.node):
        try:
            await retire_if_complete(keeper, attempt)
        except OSError as error:
            keeper.warn(f"{attempt.directory} is at the hub and cannot be removed: {error}", about=attempt.id)


Goals = dict[tuple[str, int], int]
"""(attempt, writer) -> the seq before which everything must be at the hub."""


async def _goals(keeper: Keeper) -> Goals:
    """How far every writer is now: who waits for the end of a run that goes on waits for ever."""
    for reader in list(keeper.readers.values()):
        while keeper.look(reader):
            await trio.lowlevel.checkpoint()
    return {key: reader.tail.next_seq for key, reader in keeper.readers.items()}


def _quiet(keeper: Keeper, goals: Goals) -> bool:
    """Everything that was found has been read and sent."""
    reading = any(not one.finished and not one.blocked and one.closing for one in keeper.readers.values())
    sending = any(
        _behind(one, goals) or one.pending_files() or (one.over and not one.complete)
        for one in keeper.node
        if not one.deleted
    )
    return not reading and not sending


def _behind(attempt: Attempt, goals: Goals) -> int:
    """Records still to be sent; of a process that lives only those that were there at the beginning."""
    if not attempt.alive:
        return attempt.pending_records()
    missing = (goals.get((attempt.id, one), 0) - attempt.acked.get(one, 0) for one in attempt.tails)
    return sum(max(0, count) for count in missing)


def _report(keeper: Keeper) -> dict[str, Any]:
    return {
        "pending_records": sum(one.pending_records() for one in keeper.node),
        "pending_files": sum(len(one.pending_files()) for one in keeper.node),
        "pending_bytes": pending_bytes(keeper.node),
        "sent_records": keeper.sent,
        "hub_reachable": _reachable(keeper),
        "why": next((one.why for one in keeper.uplinks if one.why), None)
        or next((why for one in keeper.node if (why := one.deleted or one.held)), None),
    }


def _outcome(keeper: Keeper, goals: Goals) -> Outcome:
    left = _report(keeper)
    why = left["why"] or (None if keeper.config.hub else "no hub is configured")
    behind = sum(_behind(one, goals) for one in keeper.node)
    lost = keeper.lost + sum(one.lost for one in keeper.node)
    given_up = tuple(keeper.given_up)
    return Outcome(keeper.sent, keeper.sent_files, behind, left["pending_files"], lost, why, given_up)


def _reachable(keeper: Keeper) -> bool:
    uplinks = list(keeper.uplinks)
    return bool(uplinks) and all(one.open for one in uplinks)


async def _drained(keeper: Keeper) -> None:
    """Until nothing is left that a hub would take now."""
    while any(one.open and not one.schedule.idle for one in keeper.uplinks):
        await keeper.progress.wait()


async def _cancel_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel("a second signal")


def _ready_line(keeper: Keeper) -> str:
    config = keeper.config
    return f"respoold ready at {config.socket} (spool in {config.spool}, hub {config.hub or 'none'})"


def _remove_socket(path: str) -> None:
    """Only a socket that we bound: systemd keeps its own."""
    if notify.inherited_listener() is None:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _raise_descriptor_limit() -> None:
    """Two segments per writer and more: the soft limit of 1024 is for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
