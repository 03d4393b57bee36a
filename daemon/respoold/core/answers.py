"""What is answered to an attach: the hub's word with this node's tail over it, and the lines that people read."""

from __future__ import annotations

from respool.wire.attempt import Request
from respoold.core.attempt import Attempt
from respoold.core.hubapi import AttachAnswer
from respoold.core.memory import Answer, unknown


def joined_answer(request: Request, own: Answer, attempt: Attempt, hub: AttachAnswer | None = None) -> Answer:
    """Ranks begin together where their attempt began; who comes by join=True begins where it is now."""
    step = max(own.step, attempt.last_step + 1, hub.step if hub else 0) if request.join else own.step
    if hub is None:
        return own._replace(step=step)
    config, summary = {**hub.config, **own.config}, {**hub.summary, **own.summary}
    return own._replace(step=step, config=config, summary=summary, meta=hub.meta)


def overlay(hub: AttachAnswer, local: Answer | None) -> Answer:
    """The hub's answer, with this node's tail over it where the lineage ends on this node."""
    if not hub.resumed:
        return Answer(False, None, True, 0, {}, {}, hub.meta)
    if local is None or local.parent != hub.parent:
        return Answer(True, hub.parent, True, hub.step, hub.config, hub.summary, hub.meta)
    config = {**hub.config, **local.config}
    return Answer(True, hub.parent, True, local.step, config, {**hub.summary, **local.summary}, hub.meta)


def hub_lines(hub: AttachAnswer) -> list[str]:
    behind = hub.left_behind
    if not behind:
        return []
    was = f"run {hub.run_id} existed ({behind.get('state')}, last step {behind.get('last_step')})"
    now = f"this is a new history, attempt {behind.get('number')} stays as a branch"
    return [f"{was}: {now}; pass resume='allow' to continue it."]


def joined_lines(request: Request, writer: int) -> list[str]:
    return [f"joined the attempt of run {request.project}/{request.run_id} as writer {writer}."]


def unknown_lines(request: Request, answer: Answer) -> list[str]:
    run = f"{request.project}/{request.run_id}"
    if unknown(request, answer):
        life = (
            f"life {request.restart_count} of its job" if request.restart_count else "resume='must' trusts it"
        )
        lost = f"WARNING: nobody here knows run {run}, which should exist ({life}): it begins at step 0."
        mend = (
            f"The hub joins the two when it answers, if it can; `respool lineage {run}` shows and mends it."
        )
        return [f"{lost} {mend}"]
    if not answer.parent_known and request.resume in {"allow", "must"}:
        return ["this node knows no earlier attempt of this run: it starts at its initial step."]
    return []
