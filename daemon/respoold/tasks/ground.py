"""What this node knows of the runs that a request may be about: read to the end, folded, remembered."""

from __future__ import annotations

import trio

from respool.wire.attempt import Request
from respool.wire.limits import MAX_RUN_ID
from respoold.core.attempt import Attempt
from respoold.core.decision import Known
from respoold.core.memory import Answer, Memory, head_of, next_step, of_memory
from respoold.core.writer import primary_of
from respoold.io import disk, fold, processes
from respoold.tasks.keeper import Keeper

SETTLE_SECONDS = 30.0
_ORDINALS = 8
"""Characters that an ordinal may take the place of at the end of a long run id."""


class Ground:
    """One look at the node for one request; made anew for the next."""

    def __init__(self, keeper: Keeper, uid: int, request: Request) -> None:
        self._keeper, self._uid, self._request = keeper, uid, request

    def look(self, run_id: str) -> Known:
        """The run's attempts here, and its memory."""
        run, journal = (self._request.project, run_id), self._keeper.journal
        attempts = self._keeper.siblings(self._uid, self._request._replace(run_id=run_id))
        return Known(attempts, journal.recall(self._uid, run), journal.launches(self._uid, run))

    @property
    def named(self) -> list[Attempt]:
        """The attempts of every run that the request may be about."""
        one, found = self._request, list[Attempt]()
        for attempt in self._keeper.node:
            if attempt.file.uid != self._uid or attempt.run[0] != one.project or attempt.deleted:
                continue
            names = {attempt.run[1], attempt.home}
            stem = one.base[: MAX_RUN_ID - _ORDINALS] if one.resume == "auto" else ""
            if names & {one.run_id, one.remembered} or (stem and attempt.run[1].startswith(stem)):
                found.append(attempt)
        return found

    async def settle(self) -> None:
        """Read the segments of dead writers to their end, so that no answer is behind the truth."""
        with trio.move_on_after(SETTLE_SECONDS):
            for attempt in self.named:
                for reader in self._keeper.readers_of(attempt):
                    writer = attempt.writers[reader.writer]
                    if writer.alive and not processes.is_alive(writer.paper.process):
                        self._keeper.died(attempt, writer.slot)
                    while self._keeper.look(reader):
                        await trio.lowlevel.checkpoint()

    async def answer(self, request: Request) -> Answer | None:
        """What is known of the run to continue, by an attempt here or by the journal's memory."""
        known = self.look(request.run_id)
        head = head_of(known.attempts, known.memory)
        if head is None or isinstance(head, Memory):
            return head and of_memory(head)
        found = await self.of_attempt(head, known.memory)
        step = next_step(known.attempts, head)
        return found._replace(resumed=True, parent=head.id, parent_known=True, step=step)

    def trains(self, attempt_id: str | None) -> bool:
        """Whether those whose rows decide where that attempt ended are here, or were: not guests alone."""
        attempt = self._keeper.node.get(attempt_id or "")
        return attempt is None or bool(attempt.trainers)

    async def of_attempt(self, attempt: Attempt, memory: Memory | None = None) -> Answer:
        """The attempt's own view, for those who join it."""
        file, primary = attempt.file, primary_of(attempt.tails)
        view = await trio.to_thread.run_sync(fold.fold, attempt.directory, primary or 0)
        config, summary, meta = view.config, view.summary, view.meta
        if not (config or summary) and memory is not None and memory.head == attempt.id:
            config, summary, meta = memory.config, memory.summary, memory.meta
        meta = meta or (memory.meta if memory else {})
        return Answer(file.resumed, file.parent, file.parent_known, file.step, config, summary, meta)

    def dead(self) -> list[str]:
        """Attempts of which no process of this node lives any more."""
        here = disk.node_name()
        return [one.id for one in self.named if not one.alive and not one.elsewhere(here)]
