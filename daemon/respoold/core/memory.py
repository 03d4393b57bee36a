"""What a node remembers of a run, and the answer it gives to an attach when the hub does not.

A memory is written when an attempt attaches (what the hub said) and when it ends (its own fold), so that it
outlives the segments. An attempt that is still in the spool wins over a memory, unless the memory is of a younger one:
folders go as soon as nobody needs them, and an older one may be kept for the files in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from respool.wire.attempt import Request
from respool.wire.frames import NO_STEP
from respool.wire.messages import Refused
from respoold.core.attempt import Attempt
from respoold.core.lineage import Link, last_step


class Memory(NamedTuple):
    """One run. `head` is the attempt whose lineage this is, `step` its next step, `as_of` when the youngest attempt
    began that was known when this was so (0: not noted).
    """

    project: str
    run_id: str
    original_id: str
    entity: str | None = None
    hub: str | None = None
    head: str | None = None
    state: str = "running"
    step: int = 0
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    updated_at: float = 0.0
    as_of: float = 0.0


class Answer(NamedTuple):
    """How an attach goes without the hub. `parent_known` False: nobody here knows this run."""

    resumed: bool
    parent: str | None
    parent_known: bool
    step: int
    config: dict[str, Any]
    summary: dict[str, Any]
    meta: dict[str, Any]


def newest(attempts: Sequence[Attempt]) -> Attempt | None:
    """Of a run's attempts on this node, oldest first, the last one that counts: a candidate does not."""
    return next((attempt for attempt in reversed(attempts) if attempt.moved), None)


def head_of(attempts: Sequence[Attempt], memory: Memory | None) -> Attempt | Memory | None:
    """Where the run ends as far as this node knows: its newest attempt that counts, or the memory when that is of a
    younger one whose folder is gone.
    """
    head = newest(attempts)
    if head is None or memory is None:
        return head or memory
    gone = memory.head is not None and memory.head not in {one.id for one in attempts}
    return memory if gone and memory.as_of > head.request.started_at else head


def next_step(attempts: Sequence[Attempt], head: Attempt) -> int:
    """The step after the lineage of `head`, as far as this node knows it."""
    by_id = {attempt.id: attempt for attempt in attempts if attempt is not head}
    chain: list[Link] = []
    at: Attempt | None = head
    while at is not None:
        chain.insert(0, at.link)
        before = by_id.pop(at.file.parent or "", None)  # once only: papers may name each other as parents
        if before is None and at.file.resumed:
            chain.insert(0, Link(at.file.parent or "", None, (), at.file.step - 1))
        at = before
    last = last_step(chain)
    return 0 if last == NO_STEP else last + 1


def answer_offline(request: Request, known: Answer | None) -> Answer | Refused:
    """Table 3.1 with the hub away: what this node knows decides."""
    nothing = Answer(False, None, known is not None or request.resume == "none", 0, {}, {}, {})
    exists = known is not None
    if request.resume == "never" and exists:
        return Refused(
            "exists",
            f"run {request.project}/{request.run_id} exists on this node and resume='never' forbids to continue it",
            "use resume='allow' or another id",
        )
    if request.resume == "must" and not exists and not request.trust:
        return Refused(
            "missing",
            f"run {request.project}/{request.run_id} is not known on this node and the hub does not answer",
            "use resume='allow', or set RESPOOL_OFFLINE_MUST=trust to continue it unseen",
        )
    if known is None or request.resume in {"none", "never"}:
        return nothing
    return known


def unknown(request: Request, answer: Answer) -> bool:
    """Whether this process must have had a run before, and nobody who was asked knows it."""
    must = request.resume == "must" or (request.restart_count > 0 and request.resume in {"allow", "auto"})
    return must and not answer.resumed and not answer.parent_known


def of_memory(memory: Memory) -> Answer:
    """The answer that a memory gives."""
    return Answer(True, memory.head, True, memory.step, memory.config, memory.summary, memory.meta)


def merge_meta(old: dict[str, Any], passed: dict[str, Any]) -> dict[str, Any]:
    """Name, notes and tags carry over unless this call passed them."""
    return {**old, **{key: value for key, value in passed.items() if value is not None}}
