"""What `respool run` says of the processes that it started: that their end is near, and what it was.

It speaks for attempts of its own user, for those alone whose processes descend from it, or that belong to the
scheduler's job that it names. Its word for an exit code counts, because it is the parent.
"""

from __future__ import annotations

from time import time

import trio

from respool.wire.messages import Foretold, Judged, Left
from respoold.core.attempt import Attempt
from respoold.core.hubapi import StateReport
from respoold.core.notice import Foreseen
from respoold.core.states import State
from respoold.core.writer import Writer
from respoold.io import processes
from respoold.io.socket import Peer
from respoold.tasks.ends import learned, report_late
from respoold.tasks.foresight import foresee
from respoold.tasks.keeper import Keeper

READ_SECONDS = 4.0
"""How long to wait for the rest of what a process wrote that has just ended."""
RECENT_SECONDS = 10.0
"""Schedulers signal all processes of a job at once, or the job's steps first: a trainer may be dead of a preemption
before `respool run` hears of it.
"""
DONE_SECONDS = 2.0
"""The same of one that ended with 0: it may have caught the signal. What ended earlier was done, and stays so."""


class Warden:
    """One `respool run` on one connection. It remembers whom it spoke for: processes that are gone have no parents."""

    def __init__(self, keeper: Keeper, peer: Peer) -> None:
        self._keeper = keeper
        self._peer = peer
        self._self = processes.vouch(peer.pid)
        self._wards: dict[str, Attempt] = {}
        self._ended: set[str] = set()

    async def foretold(self, message: Foretold) -> Judged:
        """The runs concerned are told, and the hub is, when this returns."""
        self._look(message.job)
        deadline = message.deadline if message.deadline > time() else 0.0
        for attempt in list(self._wards.values()):
            if attempt.alive and self._keeper.foresight is not None:
                heard = Foreseen(message.source, deadline, attempt=attempt.id)
                self._keeper.foresight.heard(heard)
            elif not attempt.alive and self._ended_of_it(attempt):
                await self._too_late(attempt, message.source, deadline)
        return self._judged()

    async def left(self, message: Left) -> Judged:
        """Note how a child ended, and say what its runs are called, once all that they wrote was read."""
        self._look(message.job)
        for attempt in self._known():
            for writer in attempt.writers.values():
                if attempt.file.uid == self._peer.uid and writer.paper.pid == message.pid:
                    self._wards[attempt.id] = attempt
                    self._ended.add(attempt.id)
                    before, writer.exit_code = attempt.end_of(writer.slot), message.exit_code
                    await learned(self._keeper, attempt, before)
        with trio.move_on_after(READ_SECONDS):
            while any(not one.over for one in self._wards.values()):
                with trio.move_on_after(0.1):
                    await self._keeper.progress.wait()
        return self._judged()

    async def _too_late(self, attempt: Attempt, source: str, deadline: float) -> None:
        """It has ended just now: of what was foretold, though it never heard of it."""
        notices = {**attempt.notices, source: deadline}
        if attempt.id in self._keeper.node:
            foresee(self._keeper, attempt, notices)
        else:
            attempt.notices = notices
            said = StateReport("notice", at=time(), source=source, deadline=deadline)
            await report_late(self._keeper, attempt, said)

    def _ended_of_it(self, attempt: Attempt) -> bool:
        """Whether what is foretold only now may be what it ended of."""
        if attempt.state is State.FINISHED:
            return any(_died_just_now(one, DONE_SECONDS) for one in attempt.writers.values())
        return attempt.id in self._ended or any(map(_died_just_now, attempt.writers.values()))

    def _known(self) -> list[Attempt]:
        return [*self._keeper.node, *self._keeper.forgotten]

    def _look(self, job: str) -> None:
        for attempt in self._known():
            mine = attempt.file.uid == self._peer.uid
            if mine and any(self._concerns(attempt, writer, job) for writer in attempt.writers.values()):
                self._wards[attempt.id] = attempt

    def _concerns(self, attempt: Attempt, writer: Writer, job: str) -> bool:
        """Whether a process is below this `respool run`, or of its job; or was, until just now. What of the same
        job began before it is another life's.
        """
        theirs = bool(job) and attempt.request.identity == job
        if writer.alive:
            return theirs or self._peer.pid in processes.ancestors(writer.paper.pid)
        here = self._self is not None and writer.paper.boot_id == self._self.boot_id
        since = here and self._self is not None and writer.paper.start_time >= self._self.start_time
        return _died_just_now(writer) and since and (theirs or self._peer.pid in writer.above)

    def _judged(self) -> Judged:
        return Judged({"/".join(one.run): str(one.state) for one in self._wards.values()})


def _died_just_now(writer: Writer, seconds: float = RECENT_SECONDS) -> bool:
    return writer.died_at is not None and trio.current_time() - writer.died_at < seconds
