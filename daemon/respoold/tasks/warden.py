"""What `respool run` says of the processes that it started: that their end is near, and what it was.

It speaks for attempts of its own user, for those alone whose processes descend from it, or that belong to the
scheduler's job that it names. Its word for an exit code counts, because it is the parent.
"""

from __future__ import annotations

from contextlib import suppress
from time import time

import trio

from respool.wire.messages import Foretold, Judged, Left
from respoold.core.attempt import Attempt
from respoold.core.errors import HubError
from respoold.core.hubapi import StateReport
from respoold.core.notice import Foreseen
from respoold.core.writer import Writer
from respoold.io import processes
from respoold.io.socket import Peer
from respoold.tasks.keeper import Keeper

READ_SECONDS = 4.0
"""How long to wait for the rest of what a process wrote that has just ended."""


class Warden:
    """One `respool run` on one connection. It remembers whom it spoke for: processes that are gone have no parents."""

    def __init__(self, keeper: Keeper, peer: Peer) -> None:
        self._keeper = keeper
        self._peer = peer
        self._wards: dict[str, Attempt] = {}

    def foretold(self, message: Foretold) -> Judged:
        """The runs concerned are told, and the hub is, when this returns."""
        self._look(message.job)
        for attempt in self._wards.values():
            if attempt.alive and self._keeper.foresight is not None:
                deadline = message.deadline if message.deadline > time() else 0.0
                self._keeper.foresight.heard(Foreseen(message.source, deadline, attempt=attempt.id))
        return self._judged()

    async def left(self, message: Left) -> Judged:
        """Note how a child ended, and say what its runs are called, once all that they wrote was read."""
        self._look(message.job)
        for attempt in [*self._keeper.node, *self._keeper.forgotten]:
            for writer in attempt.writers.values():
                if attempt.file.uid == self._peer.uid and writer.paper.pid == message.pid:
                    self._wards[attempt.id] = attempt
                    await self._note(attempt, writer, message.exit_code)
        with trio.move_on_after(READ_SECONDS):
            while any(not one.over for one in self._wards.values()):
                with trio.move_on_after(0.1):
                    await self._keeper.progress.wait()
        return self._judged()

    async def _note(self, attempt: Attempt, writer: Writer, code: int | None) -> None:
        before, writer.exit_code = attempt.end_of(writer.slot), code
        after = attempt.end_of(writer.slot)
        if attempt.id in self._keeper.node:
            self._keeper.save(attempt)
            self._keeper.offer(attempt)
        elif after != before:
            # It is wholly at the hub, and was let go between its last record and its exit.
            uplink = self._keeper.uplink_of(attempt)
            said = StateReport("ended", after.exit_code, time(), writer=writer.slot)
            with trio.move_on_after(READ_SECONDS), suppress(HubError):
                if uplink is not None:
                    await uplink.door_of(attempt).report(attempt.id, said)

    def _look(self, job: str) -> None:
        for attempt in self._keeper.node:
            mine = attempt.file.uid == self._peer.uid and attempt.alive
            if mine and ((job and attempt.request.identity == job) or self._below(attempt)):
                self._wards[attempt.id] = attempt

    def _below(self, attempt: Attempt) -> bool:
        pids = [writer.paper.pid for writer in attempt.writers.values() if writer.alive]
        return self._peer.pid > 0 and any(self._peer.pid in processes.ancestors(pid) for pid in pids)

    def _judged(self) -> Judged:
        return Judged({"/".join(one.run): str(one.state) for one in self._wards.values()})
