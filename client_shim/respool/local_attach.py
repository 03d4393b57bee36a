"""An attach without a daemon: answered from the earlier attempts in the spools of this node."""

from __future__ import annotations

import errno
import os
import shlex

from respool import local_spool, notices
from respool.errors import UsageError
from respool.keeper import Keeper
from respool.local_decision import Decided, Decision
from respool.local_watch import LocalWatch
from respool.plan import Plan
from respool.wire.attempt import AttemptFile, Request, WriterFile
from respool.wire.identity import attempt_id_of
from respool.wire.limits import SEGMENT_SIZE
from respool.wire.messages import Attached

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
_TRIES = 100


def attach(plan: Plan, request: Request) -> Keeper:
    """A keeper in the local spool. Raises UsageError when the resume mode forbids it, when the run is alive, or
    when the spool's folder cannot be written. A full disk is a warning: the run keeps nothing then.
    """
    spool = plan.place.spool
    for tries in range(_TRIES):
        decided = Decision(request, spool).decide(tries)
        attached, file = _answer(decided)
        try:
            local, opened = local_spool.open_attempt(spool, file, _paper(decided))
            local_spool.warn_when_scarce(spool)
        except local_spool.SlotTakenError:
            continue
        except OSError as error:
            return _without(attached, plan, spool, error)
        local_spool.register(spool, dict(os.environ))
        attached = attached._replace(directory=local.directory, lines=_lines(plan, decided, spool))
        watch = LocalWatch(local.directory, decided.overruled)
        return Keeper(attached, opened, local=local, spool=spool, watch=watch)
    raise UsageError(
        f"{_TRIES} times another process took this one's place in run {request.project}/{request.run_id}. Start it "
        "again, or give each process a RANK of its own."
    )


def _answer(decided: Decided) -> tuple[Attached, AttemptFile]:
    request, joined, parent = decided.request, decided.joined, decided.parent
    inherited = joined or parent
    step = _first_step(decided)
    resumed = joined.file.resumed if joined else parent is not None
    view = inherited.view if inherited else None
    attached = Attached(
        joined.file.attempt_id if joined else _new_id(decided),
        request.project,
        request.run_id,
        entity=request.entity,
        writer=decided.writer,
        capacity=SEGMENT_SIZE,
        resumed=resumed,
        unknown=_unknown(decided),
        step=step,
        config=dict(view.config) if view else {},
        summary=dict(view.summary) if view else {},
        meta={**(view.meta if view else {}), **request.meta},
        joined=joined is not None,
    )
    return attached, joined.file if joined else _file(decided, attached)


def _first_step(decided: Decided) -> int:
    """Ranks begin together where their attempt began; who comes by join=True begins where it is now."""
    if decided.joined is not None and not decided.request.join:
        return decided.joined.file.step
    inherited = decided.joined or decided.parent
    return inherited.next_step if inherited else 0


def _new_id(decided: Decided) -> str:
    request = decided.request
    return attempt_id_of(request.project, request.run_id, request.launch, decided.generation)


def _unknown(decided: Decided) -> bool:
    """Whether this process must have had a run before, and no spool here knows it."""
    request = decided.request
    must = request.resume == "must" or (request.restart_count > 0 and request.resume == "allow")
    return must and decided.parent is None and decided.joined is None


def _file(decided: Decided, attached: Attached) -> AttemptFile:
    request, parent = decided.request, decided.parent
    return AttemptFile(
        attached.attempt_id,
        request._replace(writer=decided.writer)._asdict(),
        os.getuid(),
        parent=parent.file.attempt_id if parent else None,
        resumed=parent is not None,
        step=attached.step,
        entity=request.entity,
        # That there is no parent is a fact for those who asked for none: the spool does not know what the hub does.
        parent_known=decided.head is not None or request.resume in {"none", "never"},
        generation=decided.generation,
    )


def _paper(decided: Decided) -> WriterFile:
    request = decided.request
    return WriterFile(
        decided.writer,
        request.incarnation,
        request.boot_id,
        request.pid,
        request.start_time,
        request.node,
        joined=request.join,
        started_at=request.started_at,
    )


def _lines(plan: Plan, decided: Decided, spool: str) -> list[str]:
    lines: list[str] = []
    head = decided.head
    if decided.joined is not None:
        maker = decided.joined.request
        lines.append(f"joined the attempt of process {maker.pid} on {maker.node} as writer {decided.writer}.")
    elif head is not None and decided.parent is None:
        lines.append(
            f"{head.request.project}/{head.request.run_id} was started over; what it logged before (up to step "
            f"{head.next_step - 1}) stays as a branch. Pass resume='allow' to continue it."
        )
    why = "as asked" if plan.place.mode == "spool" else "without a daemon"
    lines.append(
        f"{why}: rows are kept in {spool}; `respool sync {shlex.quote(spool)}` sends them, "
        "or your daemon when it starts."
    )
    return lines


def _without(attached: Attached, plan: Plan, spool: str, error: OSError) -> Keeper:
    text = f"The spool {spool} cannot be written: {error.strerror}. Set RESPOOL_SPOOL_DIR to a folder that can be."
    if error.errno not in _FULL or plan.place.settings.strict:
        raise UsageError(text) from error
    notices.alarm("no-spool", f"{text} Training goes on and nothing of this run is kept.")
    return Keeper(attached, None)
