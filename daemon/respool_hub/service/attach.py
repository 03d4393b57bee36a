"""The decision on an attach, as a function of what is known.

Order: who may; then what `resume` says of a run that is or is not there; then whether somebody lives in it.
An offline registration is past refusing: it is placed where it does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from respool_hub.service.lives import follows, is_orphan, origin
from respool_hub.service.standing import Quiet, state
from respool_hub.store.rows import AttemptRow, RunRow
from respoold.core.hubapi import AttachRequest, Problem
from respoold.core.states import ALIVE, State


class Registration(NamedTuple):
    """Let it in. `fresh_id`: into a run of its own, since the one it named is another's story. `resumed`: it
    continues `parent`. `left_behind`: the attempt that is not continued. `orphan`: an attempt whose parent nobody
    knew, and which from now on continues the head.
    """

    parent: str | None = None
    fresh_id: bool = False
    resumed: bool = False
    left_behind: str | None = None
    orphan: str | None = None


class Known(NamedTuple):
    """A run that exists, with its attempts by id."""

    run: RunRow
    attempts: Mapping[str, AttemptRow]

    @property
    def head(self) -> AttemptRow | None:
        return self.attempts.get(self.run.head) if self.run.head else None


def decide(request: AttachRequest, known: Known | None, quiet: Quiet, hub: str) -> Registration | Problem:
    """What becomes of an attempt that is not here yet. `hub` names this hub to people."""
    if request.offline:
        return _offline(request, known)
    if known is None:
        return _missing(request, hub) if request.resume == "must" else Registration()
    return _other_name(request, known) or _never(request, known, quiet) or _existing(request, known, quiet)


def _offline(request: AttachRequest, known: Known | None) -> Registration:
    if known is None:
        return Registration(request.parent, resumed=request.parent is not None)
    stranger = known.run.original_id != request.original_id
    if stranger or (request.resume == "never" and request.parent is None):
        return Registration(fresh_id=True)
    return Registration(request.parent, resumed=request.parent is not None)


def _missing(request: AttachRequest, hub: str) -> Problem:
    return Problem(
        "missing",
        f'Run {request.run_id!r} does not exist in project {request.project!r} at {hub}, and resume is "must".',
        'Use resume="allow" to create it when it is missing.',
    )


def _other_name(request: AttachRequest, known: Known) -> Problem | None:
    stored = known.run.original_id
    if stored == request.original_id:
        return None
    return Problem(
        "conflict",
        f"Run ids {request.original_id!r} and {stored!r} both become {request.run_id!r}, and the run is {stored!r}.",
        "Use an id that differs in letters, digits, - or _.",
        {"original_id": stored},
    )


def _never(request: AttachRequest, known: Known, quiet: Quiet) -> Problem | None:
    if request.resume != "never":
        return None
    name = state(known.head, quiet).value if known.head else "empty"
    return Problem(
        "exists",
        f'Run {request.run_id!r} exists and is {name}, and resume is "never".',
        'Use another id, or resume="allow" to continue it.',
        {"state": name},
    )


def _existing(request: AttachRequest, known: Known, quiet: Quiet) -> Registration | Problem:
    head = known.head
    if head is None:
        return Registration()
    now = state(head, quiet)
    if now in ALIVE and not request.takeover and not _succeeds(request, head):
        return _live(request, head, quiet)
    if request.resume == "none" or (request.resume == "auto" and now is State.FINISHED):
        return Registration(left_behind=head.attempt_id)
    return _after_newest(request, known, head)


def _after_newest(request: AttachRequest, known: Known, head: AttemptRow) -> Registration:
    """A child of the head, or of the attempt that the daemon knows to have rows which have not come here yet: one
    that continues the head, or whose node could not know that it does.
    """
    hinted = request.parent
    if hinted is None or hinted not in known.attempts or known.attempts[hinted].claimed:
        return Registration(head.attempt_id, resumed=True)
    first = known.attempts[origin(known.attempts, hinted)]
    if follows(known.attempts, hinted, head.attempt_id) or not head.claimed:
        return Registration(hinted, resumed=True)
    if is_orphan(known.attempts, first, head):
        return Registration(hinted, resumed=True, orphan=first.attempt_id)
    return Registration(head.attempt_id, resumed=True)


def _succeeds(request: AttachRequest, head: AttemptRow) -> bool:
    """The scheduler starts a job again only when its last life is over."""
    same = bool(request.identity) and request.identity == head.identity
    return same and request.restart_count > head.restart_count


def _live(request: AttachRequest, head: AttemptRow, quiet: Quiet) -> Problem:
    seconds = quiet(head.attempt_id)
    detail: dict[str, Any] = {"node": head.node, "pid": head.pid, "last_heartbeat_seconds": round(seconds, 1)}
    return Problem(
        "live",
        f"Run {request.run_id!r} is alive on node {head.node!r}, pid {head.pid}, heard {seconds:.0f} s ago.",
        "End that process, use join=True or takeover=True, or use another id.",
        detail | {"attempt_id": head.attempt_id},
    )
