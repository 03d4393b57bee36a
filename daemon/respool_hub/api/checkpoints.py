"""Checkpoints and whatever else comes in chunks: asking what is missing, committing, listing, reading by ranges."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from respool_hub.api.answers import packed, shaped, speaks_msgpack
from respool_hub.api.door import Door, flag_of, json_of, shape_of
from respool_hub.api.parts import part_response, range_of
from respool_hub.api.runs import RUN, run_of
from respool_hub.hub import Hub
from respool_hub.rehearsal import rehearse
from respool_hub.service import checkpoints, chunks, files, names
from respool_hub.service.access import Caller, Scope, own_run
from respool_hub.service.chunks import Described
from respool_hub.service.plain_json import clean
from respool_hub.service.refusal import refuse
from respool_hub.service.story import tell
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import ManifestRow
from respool_hub.sweeping import HASTE, sweep
from respoold.core import hubapi
from respoold.core.hubapi import (
    BlobsAsked,
    CheckpointCommit,
    CheckpointList,
    CheckpointTaken,
    FileCommit,
    Manifest,
    RoomAsked,
)


def routes(hub: Hub) -> list[Route]:
    def writing(path: str, handle: Any) -> Route:
        return Route(path, Door(hub, Scope.WRITE, handle, tokens=True), methods=["POST"])

    def reading(path: str, handle: Any) -> Route:
        return Route(path, Door(hub, Scope.READ, handle, tokens=True), methods=["GET"])

    return [
        writing("/v1/blobs/missing", missing),
        writing("/v1/attempts/{attempt_id}/checkpoints", commit),
        writing("/v1/attempts/{attempt_id}/room", room),
        reading(RUN + "/checkpoints", listed),
        Route(RUN + "/checkpoints", Door(hub, Scope.WRITE, mark), methods=["PATCH"]),
        Route("/v1/gc", Door(hub, Scope.ADMIN, collect), methods=["POST"]),
        reading(RUN + "/parts/{digest}", part),
        reading(RUN + "/parts/{digest}/chunks", manifest),
    ]


async def missing(hub: Hub, _: Caller, request: Request) -> Response:
    asked: BlobsAsked = await shape_of(BlobsAsked, request)
    found = await hub.in_thread(lambda: chunks.missing(hub.blobs, asked.digests))
    return shaped(request, found)


async def room(hub: Hub, caller: Caller, request: Request) -> Response:
    """Whether there is room for what is not uploaded yet: 409 "quota" where there is none."""
    asked: RoomAsked = await shape_of(RoomAsked, request)
    attempt_id, cap = request.path_params["attempt_id"], hub.project_quota
    if cap:
        await rehearse(hub, lambda tx: _try(tx, caller, attempt_id, asked, cap))
    return packed(request, {})


def _try(tx: Transaction, caller: Caller, attempt_id: str, asked: RoomAsked, cap: int) -> None:
    if asked.step is None:
        files.commit(
            tx, caller, attempt_id, FileCommit(asked.name, "", asked.size, asked.seq, asked.writer), cap
        )
        return
    part = {"name": "", "digest": "", "size": asked.size}
    share = CheckpointCommit(
        asked.name, asked.step, asked.seq, [part], asked.writer, asked.rank, asked.world,
        keep=asked.keep, score=asked.score, pinned=asked.pinned, logged=asked.logged,
    )  # fmt: skip
    checkpoints.commit(tx, caller, attempt_id, share, cap)


async def commit(hub: Hub, caller: Caller, request: Request) -> Response:
    asked: CheckpointCommit = await shape_of(CheckpointCommit, request)
    attempt_id = request.path_params["attempt_id"]
    described = [_described(asked.name, part) for part in asked.parts]
    verified = await hub.in_thread(lambda: [chunks.verify(hub.blobs, one) for one in described])

    def work(tx: Transaction) -> CheckpointTaken:
        chunks.keep(tx, verified)
        return checkpoints.commit(tx, caller, attempt_id, asked, hub.project_quota)

    taken: CheckpointTaken = await hub.write(work)
    return shaped(request, taken)


def _described(checkpoint: str, part: dict[str, Any]) -> Described:
    name, digest, size = part.get("name"), part.get("digest"), part.get("size")
    digests, sizes = part.get("digests"), part.get("sizes")
    texts = isinstance(name, str) and isinstance(digest, str)
    if (
        not texts
        or not isinstance(size, int)
        or not isinstance(digests, bytes)
        or not isinstance(sizes, list)
    ):
        said = f"A part of checkpoint {checkpoint[:80]!r} lacks a name, a digest, a size or its chunks."
        raise refuse("bad-request", said, "Send name, digest, size, digests and sizes.")
    return Described(str(name), names.digest(str(digest)), size, digests, sizes)


async def listed(hub: Hub, caller: Caller, request: Request) -> Response:
    every = flag_of(request, "all")

    def look(reader: Reader) -> list[dict[str, Any]]:
        run = run_of(reader, caller, request)
        return checkpoints.listed(reader, run.id, tell(reader, run.id, run.head), every=every)

    found = await hub.study(look)
    if not speaks_msgpack(request):
        found = [{**one, "metadata": clean(one["metadata"])} for one in found]
    return packed(request, CheckpointList(found)._asdict())


async def mark(hub: Hub, caller: Caller, request: Request) -> Response:
    """Pin, unpin or drop: {"name", "step", "pinned": bool, "dropped": true}."""
    asked = await json_of(request)
    name, step = asked.get("name", "checkpoint"), asked.get("step")
    pinned, gone = asked.get("pinned"), asked.get("dropped")
    marks = [one for one in (pinned, gone) if one is not None]
    if (
        not isinstance(step, int)
        or not isinstance(name, str)
        or not marks
        or not all(one in {True, False} for one in marks)
    ):
        said = f"The change of checkpoint {name!r:.80} at step {step!r:.40} is not clear."
        raise refuse("bad-request", said, "Send name, step, and pinned or dropped as true or false.")

    def work(tx: Transaction) -> int:
        run = run_of(tx, caller, request)
        own_run(caller, run)
        return checkpoints.mark(tx, run.id, name, step, dropped=gone, pinned=pinned)

    return packed(request, {"attempts": await hub.write(work)})


async def collect(hub: Hub, _: Caller, request: Request) -> Response:
    """Remove the bytes that nothing visible needs and nobody asked for lately."""
    count, size = await sweep(hub, HASTE)
    return packed(request, {"blobs": count, "bytes": size})


async def part(hub: Hub, caller: Caller, request: Request) -> Response:
    found = await hub.read(lambda reader: _manifest(reader, caller, request))
    span = range_of(request.headers.get("range", ""), found.size)
    return await part_response(hub, found, span)  # type: ignore[return-value]


async def manifest(hub: Hub, caller: Caller, request: Request) -> Response:
    found = await hub.read(lambda reader: _manifest(reader, caller, request))
    # Digests are bytes, which JSON has no word for: this answer is msgpack whatever was asked for.
    return Response(hubapi.dump(Manifest(found.digests, chunks.sizes_of(found))), media_type=hubapi.MSGPACK)


def _manifest(reader: Reader, caller: Caller, request: Request) -> ManifestRow:
    """The manifest of a file or part of this run: its digest alone opens nothing of another's."""
    run = run_of(reader, caller, request)
    digest = names.digest(request.path_params["digest"])
    found = reader.manifest(digest) if reader.has_manifest(run.id, digest) else None
    if found is None:
        said = f"Run {run.run_id!r} has no part {digest}."
        raise refuse("missing", said, "See its checkpoints: retention may have dropped it.")
    return found
