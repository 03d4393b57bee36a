"""Preemption seen coming: asks the sources that are configured, and lets every attempt here hear what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import time
from typing import Any, NoReturn

import trio

from respool.wire.messages import Notice
from respoold.config import Config
from respoold.core import bulletin
from respoold.core.attempt import Attempt
from respoold.core.bulletin import Bulletin, Found, cluster_of
from respoold.core.notice import Event, Foreseen, Standing
from respoold.core.notice_words import cloud_of
from respoold.doorbell import Doorbell
from respoold.io.notices import azure, ec2, gcp, machine
from respoold.io.notices.metadata import Source
from respoold.io.notices.own import Command, File
from respoold.io.notices.slurm import Slurm
from respoold.tasks.keeper import Keeper
from respoold.tasks.uplink import jitter
from respoold.tasks.voices import WITHDRAWN, preempting

LOOK_SECONDS = 1.0
"""While a notice stands: how often to look for attempts that began since, and for notices that are void."""
SHUTDOWN, SHUTDOWN_SECONDS = "shutdown", 30.0
"""A preempted machine is switched off half a minute after it was told to shut down, whatever still runs on it."""
_CLOUDS: dict[str, tuple[Callable[..., Source], str]] = {
    "ec2": (ec2.Ec2, ec2.BASE),
    "gcp": (gcp.Gcp, gcp.BASE),
    "azure": (azure.Azure, azure.BASE),
}


class Foresight:
    """What stands against this node's attempts. `heard` is for whoever learns something; `watch` runs for ever."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._standing = Standing()
        self._bell = Doorbell()
        self._advised: set[str] = set()
        self.bulletin = Bulletin()
        for attempt in keeper.node:
            # Of a daemon before this one: it stands until somebody withdraws it, or it expires.
            for source, deadline in attempt.notices.items():
                mine = Foreseen(source, deadline, attempt.request.identity, attempt.id)
                self._standing.take(mine, time())

    def heard(self, event: Event) -> None:
        """Take an event; everybody whom it concerns knows when this returns."""
        if self._standing.take(event, time()):
            self._apply()
            self._bell.ring()

    async def watch(self) -> NoReturn:
        """Ask every source, until cancelled."""
        async with trio.open_nursery() as nursery:
            for source in sources(self._keeper, self.bulletin):
                nursery.start_soon(source.watch, self.heard)
            while True:
                if not self._standing:
                    await self._bell.wait()
                await trio.sleep(LOOK_SECONDS)
                self._standing.expire(time())
                self._apply()

    def told(self, foreseen: dict[str, Any]) -> None:
        """What the hub answered of the jobs here."""
        for event in bulletin.events(jobs_of(self._keeper.node), foreseen):
            self.heard(event)

    def _apply(self) -> None:
        for attempt in self._keeper.node:
            # Who has ended while a notice stood ended under it, whatever becomes of the notice.
            if attempt.alive and not (attempt.adopted or attempt.over):
                wanted = self._standing.of(attempt.request.identity, attempt.id)
                foresee(self._keeper, attempt, wanted)
        # A limit spares others a slow link; what does not leave a machine that goes is lost to all.
        now = time()
        going = any(one.alive or max(one.notices.values()) > now for one in self._keeper.node if one.notices)
        self._keeper.uplinks.hurry(lifted=bool(self._standing) and going)
        advice = self._standing.advice()
        for source in set(advice) - self._advised:
            self._advise(source)
        self._advised = set(advice)

    def _advise(self, source: str) -> None:
        text = f"{source}: this machine is likely to be taken away before long; save a checkpoint soon"
        for attempt in self._keeper.node:
            if attempt.alive:
                self._keeper.voices.tell(attempt, Notice("advice", text, {"source": source}))


def foresee(keeper: Keeper, attempt: Attempt, notices: dict[str, float]) -> None:
    """These preemption notices, and no others, stand against an attempt: its processes are told, the hub is told
    ahead of everything else, and what was logged follows without a pause.
    """
    if notices == attempt.notices:
        return
    source = attempt.notice.source if attempt.notice else ""
    attempt.notices = notices
    keeper.save(attempt)
    standing = attempt.notice
    said = preempting(standing) if standing else WITHDRAWN._replace(data={"source": source})
    keeper.voices.tell(attempt, said)
    for reader in keeper.readers_of(attempt):
        keeper.attend(reader)
    uplink = keeper.uplink_of(attempt)
    if uplink is not None:
        uplink.schedule.hasten()
    keeper.offer(attempt)


def sources(keeper: Keeper, board: Bulletin) -> Iterator[Source]:
    """Those that are configured. Which cloud this is, is read off the machine before any packet is sent."""
    config = keeper.config
    cloud = cloud_of(machine.dmi()) if config.cloud == "auto" else config.cloud
    if cloud in _CLOUDS:
        make, base = _CLOUDS[cloud]
        yield make(config.metadata or base, jitter)
    yield from _own(keeper, config)
    if config.slurm:
        yield Slurm(
            _led(keeper, board), _publish(keeper, board), jitter, config.slurm_period, config.slurm_warning
        )


def _own(keeper: Keeper, config: Config) -> Iterator[Source]:
    def complaining(about: str) -> Callable[[str], None]:
        return lambda why: keeper.warn(why, about) if why else keeper.resolve(about)

    if config.notice_file is not None:
        yield File(config.notice_file, complain=complaining("notice_file"))
    if config.notice_command:
        yield Command(config.notice_command, complain=complaining("notice_command"))


def _led(keeper: Keeper, board: Bulletin) -> Callable[[], list[str]]:
    """The clusters to ask: those that we lead, and still have jobs of."""

    def led() -> list[str]:
        here = {named[0] for one in jobs_of(keeper.node) if (named := cluster_of(one)) is not None}
        return [one for one in board.led(trio.current_time()) if one in here]

    return led


def _publish(keeper: Keeper, board: Bulletin) -> Callable[[str, Found], None]:
    """News do not wait for the next heartbeat."""

    def publish(cluster: str, found: Found) -> None:
        if board.found(cluster, found):
            for uplink in keeper.uplinks:
                uplink.beat_soon()

    return publish


def jobs_of(attempts: Iterable[Attempt]) -> set[str]:
    """The identities of the jobs that have living trainers here."""
    return {one.request.identity for one in attempts if one.alive and one.request.identity}


async def shut_down(keeper: Keeper, foresight: Foresight) -> bool:
    """We were told to stop. Says whether that is because the machine stops; its trainers then know it."""
    if not keeper.config.shutdown or not await machine.stopping():
        return False
    foresight.heard(Foreseen(SHUTDOWN, time() + SHUTDOWN_SECONDS))
    return True
