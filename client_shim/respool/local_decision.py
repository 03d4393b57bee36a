"""Without a daemon: what a request comes to, by what lies in the spools of this node."""

from __future__ import annotations

import os
from typing import NamedTuple

from respool import local_join
from respool.errors import UsageError
from respool.local_join import Living
from respool.spool_history import Earlier, attempts_of, head_of, roots_of
from respool.wire.attempt import Request
from respool.wire.choice import Standing, choose, homes
from respool.wire.identity import joined_writer


class Decided(NamedTuple):
    """What a request comes to: a slot in `joined`, or a new attempt that continues `parent`, leaving `head`.
    `overruled`: the folders of the attempts from which it takes the run.
    """

    request: Request
    joined: Earlier | None = None
    head: Earlier | None = None
    parent: Earlier | None = None
    generation: int = 0
    writer: int = 0
    overruled: tuple[str, ...] = ()


class Decision:
    """One look at the spools and what follows from it. Another process may decide at the same time: whoever puts
    its paper first has the slot, and the others look again.
    """

    def __init__(self, request: Request, spool: str) -> None:
        self.request = request
        self.spool = spool
        self._roots = roots_of(spool, os.environ)
        self._known: dict[str, tuple[list[Earlier], list[Living]]] = {}

    def decide(self, tries: int) -> Decided:
        """Joining first, then the resume table."""
        joined = self._home()
        if joined is not None:
            return self._join(joined, tries)
        if self.request.join:
            raise UsageError(
                f"join=True, but nobody here logs into run {self._run}: no live attempt of it is in the spool "
                f"{self.spool}. Start its trainer first, or leave join=True out."
            )
        if self.request.resume == "auto":
            self._choose()
        earlier, living = self.known(self.request.run_id)
        head = head_of(earlier)
        if self._check(earlier, head):
            del self._known[self.request.run_id]
            earlier, living = self.known(self.request.run_id)
            head = head_of(earlier)
        parent = head if self.request.resume in {"allow", "must"} else None
        generation = local_join.next_generation(self.request, earlier)
        writer, overruled = max(self.request.rank, 0), self._overruled(living)
        return Decided(self.request, None, head, parent, generation, writer, overruled)

    def known(self, run_id: str) -> tuple[list[Earlier], list[Living]]:
        """The run's attempts in the spools, and who may still write into them."""
        if run_id not in self._known:
            earlier = attempts_of(self._roots, self.request.project, run_id, self.request.entity)
            self._known[run_id] = earlier, local_join.living_in(self.request, self.spool, earlier)
        return self._known[run_id]

    def _overruled(self, living: list[Living]) -> tuple[str, ...]:
        """Other ranks of this launch are not: they follow by themselves. Nothing is written in a daemon's spool."""
        others = {
            one.attempt.directory for one in living if one.attempt.request.launch != self.request.launch
        }
        spool = os.path.realpath(self.spool)
        return tuple(sorted(path for path in others if os.path.dirname(path) == spool))

    @property
    def _run(self) -> str:
        return f"{self.request.project}/{self.request.run_id}"

    def _home(self) -> Earlier | None:
        """The attempt to join, in whichever run it is."""
        one = self.request
        auto = one.resume == "auto" and not one.join
        runs = homes(one.base, one.remembered, one.run_id, self._look) if auto else iter([one.run_id])
        found = (local_join.to_join(one, *self.known(run_id)) for run_id in runs)
        return next((attempt for attempt in found if attempt is not None), None)

    def _join(self, joined: Earlier, tries: int) -> Decided:
        self._check_spelling([joined])
        named = joined.request
        request = self.request._replace(run_id=named.run_id, original_id=named.original_id)
        ranked = request.rank >= 0 and not request.join
        writer = request.rank if ranked else joined_writer(request.incarnation, tries)
        return Decided(request, joined, joined, None, joined.file.generation, writer)

    def _choose(self) -> None:
        """The run that an auto-resume continues or begins, by what lies in the spools here."""
        one = self.request
        run_id, resume = choose(one.base, one.remembered, one.run_id, self._settled)
        head = head_of(self.known(run_id)[0])
        original = head.request.original_id if head is not None else run_id
        self.request = one._replace(run_id=run_id, original_id=original, resume=resume)

    def _look(self, run_id: str) -> Standing:
        earlier, living = self.known(run_id)
        head = head_of(earlier)
        if head is None:
            return Standing.UNKNOWN
        if any(one.writer.process == self.request.process for one in living):
            return Standing.ALIVE
        if local_join.rivals_of(self.request._replace(takeover=False), living):
            return Standing.ALIVE
        return Standing.FINISHED if head.done else Standing.OPEN

    def _settled(self, run_id: str) -> Standing:
        """As `_look`, after giving writers on other nodes, who may be dead, the time to show it."""
        rivals = local_join.rivals_of(self.request, self.known(run_id)[1])
        if rivals and not any(one.seen for one in rivals):
            left = local_join.wait_out(rivals, self.spool)
            del self._known[run_id]
            self._known[run_id] = self.known(run_id)[0], left
        return self._look(run_id)

    def _check(self, earlier: list[Earlier], head: Earlier | None) -> bool:
        """Whether somebody had to be waited for, who may have logged meanwhile."""
        self._check_spelling(earlier)
        self._check_existence(head)
        rivals = local_join.rivals_of(self.request, self.known(self.request.run_id)[1])
        left = local_join.wait_out(rivals, self.spool)
        if left:
            raise local_join.live_error(self._run, left[0], self.spool)
        return bool(rivals)

    def _check_spelling(self, earlier: list[Earlier]) -> None:
        for one in earlier:
            if self.request.fixed_id and one.request.original_id != self.request.original_id:
                raise UsageError(
                    f"Run {self._run} was begun as {one.request.original_id!r}, this is {self.request.original_id!r}: "
                    "both spell the same id. Use the first spelling to continue it, or another id."
                )

    def _check_existence(self, head: Earlier | None) -> None:
        if self.request.resume == "must" and head is None and not self.request.trust:
            raise UsageError(
                f"Run {self._run} is not in the spool {self.spool} and no daemon was asked, but resume='must' needs "
                "it. Use resume='allow', or set RESPOOL_OFFLINE_MUST=trust if you know that it exists."
            )
        if self.request.resume == "never" and head is not None:
            living = self.known(self.request.run_id)[1]
            raise UsageError(
                f"Run {self._run} exists in the spool {self.spool} ({_state(head, living)}), but resume='never' "
                "forbids to continue it. Use another id, or resume='allow'."
            )


def _state(head: Earlier, living: list[Living]) -> str:
    if any(one.attempt.file.attempt_id == head.file.attempt_id for one in living):
        return "running"
    if head.done:
        return "finished"
    if head.view.preempting or head.view.noticed or head.noticed:
        return "preempted"
    return "failed" if head.view.state == "ended" else "crashed"
