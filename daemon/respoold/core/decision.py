"""What a request comes to by what this node knows: join an attempt of its launch, continue a run, begin one.

The hub decides by the same rules for all nodes. This decides while it is away, and so that ranks on two nodes that
know nothing of each other end in one attempt: its id follows from run, launch and generation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from respool.wire.attempt import Request
from respool.wire.choice import Standing, choose, homes
from respool.wire.identity import joined_writer
from respoold.core.attempt import Attempt
from respoold.core.memory import Memory, head_of
from respoold.core.states import State


class Known(NamedTuple):
    """What this node knows of one run: its attempts here, oldest first, what it remembers, and for each launch
    whose attempts here were removed the greatest of their numbers.
    """

    attempts: Sequence[Attempt] = ()
    memory: Memory | None = None
    launches: Mapping[str, int] = {}


Look = Callable[[str], Known]
"""What is known of a run id."""


class Plan(NamedTuple):
    """The run and the resume mode are settled in `request`. `joined`: the attempt whose further writer this
    process becomes, in slot `writer`; else it begins the attempt number `generation` of its launch in that run.
    """

    request: Request
    joined: Attempt | None
    writer: int
    generation: int


def plan(request: Request, look: Look) -> Plan:
    """Joining first, over every run that the launch may be in; then the run to continue."""
    home = next(
        (found for run_id in runs_of(request, look) if (found := to_join(request, look(run_id)))), None
    )
    if home is not None:
        settled = request._replace(run_id=home.request.run_id, original_id=home.request.original_id)
        return Plan(settled, home, slot_in(request, home), home.file.generation)
    request = settle(request, look)
    return Plan(request, None, max(request.rank, 0), next_generation(request, look(request.run_id)))


def runs_of(request: Request, look: Look) -> Iterator[str]:
    """The runs in which the attempt to join may be."""
    if request.resume == "auto" and not request.join:
        return homes(
            request.base, request.remembered, request.run_id, lambda one: standing(request, look(one))
        )
    return iter([request.run_id])


def settle(request: Request, look: Look) -> Request:
    """An auto-resume as a request for the one run that it continues or begins."""
    if request.resume != "auto":
        return request
    chosen = choose(
        request.base, request.remembered, request.run_id, lambda one: standing(request, look(one))
    )
    known = look(chosen.run_id)
    return request._replace(
        run_id=chosen.run_id,
        original_id=_original(known) or _spelling(request, chosen.run_id),
        resume=chosen.resume,
    )


def standing(request: Request, known: Known) -> Standing:
    """Whether a run could be continued by this process."""
    if not known.attempts and known.memory is None:
        return Standing.UNKNOWN
    if rivals_of(request, known.attempts, own=True):
        return Standing.ALIVE
    head = head_of(known.attempts, known.memory)
    return Standing.FINISHED if head and head.state == State.FINISHED else Standing.OPEN


def to_join(request: Request, known: Known) -> Attempt | None:
    """With join=True the newest attempt that lives; else the newest of its launch, if that lives and neither this
    rank's slot nor this process was ever in it. A rank may also come after all others have finished; not after they
    died, for who comes then begins the next attempt.
    """
    if request.join:
        return next((one for one in reversed(known.attempts) if one.writing), None)
    found = max(_of_launch(request, known.attempts), key=lambda one: one.file.generation, default=None)
    late = found is not None and request.rank >= 0 and found.state is State.FINISHED
    if found is None or not (found.writing or late):
        return None
    used = request.rank in found.writers
    again = any(one.paper.process == request.process for one in found.writers.values())
    return None if used or again else found


def slot_in(request: Request, attempt: Attempt) -> int:
    """The slot of a process that joins."""
    if request.rank >= 0 and not request.join:
        return request.rank
    return next(
        slot
        for tries in count()
        if (slot := joined_writer(request.incarnation, tries)) not in attempt.writers
    )


def next_generation(request: Request, known: Known) -> int:
    """The number of the attempt that this process begins, among those of its launch in the run."""
    here = (one.file.generation for one in _of_launch(request, known.attempts))
    return 1 + max([*here, known.launches.get(request.launch, -1)])


def rivals_of(request: Request, attempts: Iterable[Attempt], *, own: bool = False) -> list[Attempt]:
    """The attempts that still live and that this request does not overrule: neither takeover, nor a later life of
    the same job. A process is not its own rival, unless `own`.
    """
    if request.takeover:
        return []
    return [
        one
        for one in attempts
        if not succeeds(request, one.request)
        and any(own or writer.paper.process != request.process for writer in one.writing)
    ]


def succeeds(request: Request, old: Request) -> bool:
    """A scheduler starts a job again only when its last life is over."""
    same = bool(request.identity) and request.identity == old.identity
    return same and request.restart_count > old.restart_count


def overtaken(attempt: Attempt, siblings: Iterable[Attempt]) -> list[Attempt]:
    """`attempt` has just logged its first row, or rewound: those before it that still live are superseded."""
    found = list[Attempt]()
    for one in siblings:
        if one is attempt:
            break
        if not one.adopted and not one.superseded and one.writing:
            found.append(one)
    return found


def _of_launch(request: Request, attempts: Iterable[Attempt]) -> list[Attempt]:
    return [one for one in attempts if request.launch and one.request.launch == request.launch]


def _original(known: Known) -> str | None:
    if known.attempts:
        return known.attempts[-1].request.original_id
    return known.memory.original_id if known.memory else None


def _spelling(request: Request, run_id: str) -> str:
    return request.original_id if run_id == request.run_id else run_id
