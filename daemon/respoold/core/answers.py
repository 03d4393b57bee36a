"""What is answered to an attach: the hub's word with this node's tail over it, and the lines that people read."""

from __future__ import annotations

from respool.wire.attempt import Request
from respoold.core.attempt import Attempt
from respoold.core.hubapi import AttachAnswer
from respoold.core.memory import Answer, unknown


def joined_answer(request: Request, own: Answer, attempt: Attempt, hub: AttachAnswer | None = None) -> Answer:
    """Ranks begin together where their attempt began; who comes by join=True begins where its trainer is now."""
    step = max(own.step, attempt.link.last_step + 1, hub.step if hub else 0) if request.join else own.step
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
    """What the hub says was not continued."""
    behind = hub.left_behind
    return [_started_over(hub.project, hub.run_id, behind.get("last_step"))] if behind else []


def left_lines(request: Request, answer: Answer, local: Answer | None) -> list[str]:
    """What this node knows was not continued."""
    if answer.resumed or local is None or not local.resumed:
        return []
    return [_started_over(request.project, request.run_id, local.step - 1)]


def _started_over(project: str, run_id: str, last_step: int | None) -> str:
    before = "it had no rows" if last_step is None or last_step < 0 else f"up to step {last_step}"
    return (
        f"{project}/{run_id} was started over; what it logged before ({before}) stays as a branch. Pass "
        "resume='allow' to continue it."
    )


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
