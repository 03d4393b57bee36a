"""The machine side: attach, state, heartbeat, file commits. See `respoold.core.hubapi` for the contract."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool.wire.attempt import RESUME_MODES
from respool_hub import __version__
from respool_hub.api import identify
from respool_hub.api.answers import packed, shaped
from respool_hub.api.door import MAX_SECRET, Door, Handler, shape_of
from respool_hub.hub import Hub
from respool_hub.service import beats, chunks, files, names, token
from respool_hub.service.access import Caller, Scope
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.service.register import Registered, register
from respool_hub.service.standing import number_or_none, state
from respool_hub.service.story import next_step, tell, total
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import RunRow
from respoold.core.hubapi import (
    AttachAnswer,
    AttachRequest,
    Beat,
    FileCommit,
    Health,
    StateReport,
)


def routes(hub: Hub) -> list[Route]:
    async def health(request: Request) -> Response:
        return shaped(request, Health(__version__, hub.incarnation))

    def writing(path: str, handle: Handler) -> Route:
        return Route(path, Door(hub, Scope.WRITE, handle, tokens=True), methods=["POST"])

    return [
        Route("/v1/health", health),
        writing("/v1/attach", attach),
        writing("/v1/heartbeat", heartbeat),
        writing("/v1/attempts/{attempt_id}/state", report),
        writing("/v1/attempts/{attempt_id}/files", commit_file),
    ]


async def attach(hub: Hub, caller: Caller, request: Request) -> Response:
    asked: AttachRequest = await shape_of(AttachRequest, request)
    if asked.resume not in RESUME_MODES:
        modes = ", ".join(RESUME_MODES)
        raise refuse("bad-request", f"resume is {asked.resume[:40]!r}.", f"Use one of {modes}.")
    now = hub.now()
    done = await hub.write(lambda tx: register(tx, caller, asked, now, hub.name))
    answer = await hub.study(lambda reader: _answer(hub, caller, reader, done))
    return shaped(request, answer)


def _answer(hub: Hub, caller: Caller, reader: Reader, done: Registered) -> AttachAnswer:
    run, attempt = done.run, done.attempt
    story = tell(reader, run.id, attempt.attempt_id)
    began = tell(reader, run.id, attempt.parent) if done.joined and not done.by_wish else story
    totals = total(reader, story)
    behind = story.attempts.get(done.left_behind) if done.left_behind else None
    left = None
    if behind is not None:
        left = {"attempt_id": behind.attempt_id, "number": behind.number}
        left |= {"state": state(behind, hub.ears.quiet).value, "last_step": _last(reader, run)}
    return AttachAnswer(
        entity=run.entity,
        project=run.project,
        run_id=run.run_id,
        number=attempt.number,
        incarnation=hub.incarnation,
        parent=attempt.parent,
        head=attempt.parent if attempt.parent in story.attempts else None,
        resumed=done.resumed,
        step=next_step(began),
        config=totals.config,
        summary=totals.summary,
        meta={**run.meta, "metrics": totals.metrics},
        url=hub.url_of(run),
        left_behind=left,
        attempt_id=attempt.attempt_id,
        generation=attempt.generation,
        writer=done.writer,
        joined=done.joined,
        token=token.issue(hub.secret, attempt.attempt_id, caller.key_id),
    )


def _last(reader: Reader, run: RunRow) -> int | None:
    return number_or_none(tell(reader, run.id, run.head).last_step)


async def heartbeat(hub: Hub, caller: Caller, request: Request) -> Response:
    asked: Beat = await shape_of(Beat, request)
    now, vouched = hub.now(), await _vouched(hub, asked)
    return shaped(request, await hub.write(lambda tx: beats.beat(tx, caller, asked, now, vouched)))


async def _vouched(hub: Hub, asked: Beat) -> frozenset[str]:
    """The attempts that came with a token of their own: one beat speaks for all of a user's attempts on a node,
    and each of them may have begun with another key.
    """
    found: set[str] = set()
    sent: dict[str, Any] = dict(asked.attempts)
    for attempt_id, told in list(sent.items())[: beats.MAX_ATTEMPTS]:
        shown = told.get("token") if isinstance(told, dict) else None
        if isinstance(shown, str):
            with suppress(RefusalError):
                holder = await identify.holder(hub, shown[:MAX_SECRET])
                found.update({attempt_id} & {holder.attempt})
    return frozenset(found)


async def report(hub: Hub, caller: Caller, request: Request) -> Response:
    asked: StateReport = await shape_of(StateReport, request)
    attempt_id, now = request.path_params["attempt_id"], hub.now()
    await hub.write(lambda tx: beats.report(tx, caller, attempt_id, asked, now))
    return packed(request, {})


async def commit_file(hub: Hub, caller: Caller, request: Request) -> Response:
    asked: FileCommit = await shape_of(FileCommit, request)
    digest = names.digest(asked.digest)
    if asked.digests:
        return await _commit_chunks(hub, caller, request, asked)
    size = await hub.in_thread(lambda: hub.blobs.want([digest])[0])
    if size is None:
        raise refuse("missing-blob", f"Blob {digest} is not here.", "Upload it, then commit again.")
    if size != asked.size:
        raise refuse(
            "bad-request", f"Blob {digest} has {size} bytes, not {asked.size}.", "Send its own size."
        )
    attempt_id = request.path_params["attempt_id"]
    await hub.write(lambda tx: files.commit(tx, caller, attempt_id, asked, hub.project_quota))
    return packed(request, {})


async def _commit_chunks(hub: Hub, caller: Caller, request: Request, asked: FileCommit) -> Response:
    described = chunks.Described(asked.name, asked.digest, asked.size, asked.digests, asked.sizes)
    manifest = await hub.in_thread(lambda: chunks.verify(hub.blobs, described))
    attempt_id = request.path_params["attempt_id"]

    def work(tx: Transaction) -> None:
        chunks.keep(tx, [manifest])
        files.commit(tx, caller, attempt_id, asked, hub.project_quota)

    await hub.write(work)
    return packed(request, {})
