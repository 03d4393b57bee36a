"""An attach without a daemon: answered from the earlier attempts in the same spool (design: offline, 3.5)."""

from __future__ import annotations

import errno
import os
import shlex

from respool import local_spool, notices
from respool.errors import UsageError
from respool.keeper import Keeper
from respool.plan import Plan
from respool.process import this_process
from respool.spool_history import Earlier, attempts_of, head_of, roots_of
from respool.wire.attempt import AttemptFile, Request
from respool.wire.choice import Standing, choose
from respool.wire.identity import attempt_id_of
from respool.wire.limits import SEGMENT_SIZE
from respool.wire.messages import Attached

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


def attach(plan: Plan, request: Request) -> Keeper:
    """A keeper in the local spool. Raises UsageError when the resume mode forbids it, when the run is alive
    here, or when the spool's folder cannot be written. A full disk is a warning: the run keeps nothing then.
    """
    spool = plan.place.spool
    roots = roots_of(spool, os.environ)
    request = _chosen(request, roots)
    earlier = attempts_of(roots, request.project, request.run_id, request.entity)
    head = head_of(earlier)
    _check(request, earlier, head, spool, trust=plan.offline_must)
    parent = head if request.resume in {"allow", "must"} else None
    attached, file = _answer(request, parent, known=_known(request, head))
    try:
        local, opened = local_spool.open_attempt(spool, file)
        local_spool.warn_when_scarce(spool)
    except OSError as error:
        return _without(attached, plan, spool, error)
    local_spool.register(spool, dict(os.environ))
    attached = attached._replace(directory=local.directory, lines=_lines(plan, head, parent, spool))
    return Keeper(attached, opened, local=local, spool=spool)


def _chosen(request: Request, roots: list[str]) -> Request:
    """The request with the run that an auto-resume continues or begins, by what lies in the spools here."""
    if request.resume != "auto":
        return request

    def look(run_id: str) -> Standing:
        earlier = attempts_of(roots, request.project, run_id, request.entity)
        head = head_of(earlier)
        if head is None:
            return Standing.UNKNOWN
        if any(one.live for one in earlier):
            return Standing.ALIVE
        return Standing.FINISHED if (head.view.state, head.view.exit_code) == ("ended", 0) else Standing.OPEN

    run_id, resume = choose(request.base, request.remembered, request.run_id, look)
    return request._replace(run_id=run_id, original_id=run_id, resume=resume)


def _check(
    request: Request, earlier: list[Earlier], head: Earlier | None, spool: str, *, trust: bool
) -> None:
    run = f"{request.project}/{request.run_id}"
    for one in earlier:
        if request.fixed_id and one.request.original_id != request.original_id:
            raise UsageError(
                f"Run {run} was begun as {one.request.original_id!r}, this is {request.original_id!r}: both spell the "
                "same id. Use the first spelling to continue it, or another id."
            )
        if one.live and one.request.process != this_process():
            raise live_error(run, one)
    if request.resume == "must" and head is None and not trust:
        raise UsageError(
            f"Run {run} is not in the spool {spool} and no daemon was asked, but resume='must' needs it. Use "
            "resume='allow', or set RESPOOL_OFFLINE_MUST=trust if you know that it exists."
        )
    if request.resume == "never" and head is not None:
        state = head.view.state or "not ended"
        raise UsageError(
            f"Run {run} exists in the spool {spool} ({state}), but resume='never' forbids to continue it. Use "
            "another id, or resume='allow'."
        )


def live_error(run: str, one: Earlier) -> UsageError:
    """The refusal of a run whose process is alive on this node."""
    from respool.attaching import LiveRunError  # noqa: PLC0415 - that module imports this one

    return LiveRunError(
        f"Run {run} is alive on {one.request.node}, process {one.request.pid}. Stop that process, or use another id."
    )


def _known(request: Request, head: Earlier | None) -> bool:
    """Whether the answer "no parent" is a fact: the spool cannot know what the hub knows."""
    return head is not None or request.resume in {"none", "never"}


def _answer(request: Request, parent: Earlier | None, *, known: bool) -> tuple[Attached, AttemptFile]:
    attempt_id = attempt_id_of(request.project, request.run_id, request.launch, request.incarnation)
    step = parent.next_step if parent else 0
    inherited = parent.view if parent else None
    meta = {**(inherited.meta if inherited else {}), **request.meta}
    attached = Attached(
        attempt_id,
        request.project,
        request.run_id,
        entity=request.entity,
        capacity=SEGMENT_SIZE,
        resumed=parent is not None,
        unknown=request.resume == "must" and parent is None,
        step=step,
        config=dict(inherited.config) if inherited else {},
        summary=dict(inherited.summary) if inherited else {},
        meta=meta,
    )
    file = AttemptFile(
        attempt_id,
        request._asdict(),
        os.getuid(),
        parent=parent.file.attempt_id if parent else None,
        resumed=parent is not None,
        step=step,
        entity=request.entity,
        parent_known=known,
    )
    return attached, file


def _lines(plan: Plan, head: Earlier | None, parent: Earlier | None, spool: str) -> list[str]:
    lines: list[str] = []
    if head is not None and parent is None:
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
