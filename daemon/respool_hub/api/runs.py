"""The human side: runs, one run, its history and its files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from threading import Lock
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from respool_hub.api.answers import as_json
from respool_hub.api.bytes import FileResponse
from respool_hub.api.door import Door, flag_of, number_of
from respool_hub.api.parts import part_response, range_of
from respool_hub.hub import Hub
from respool_hub.service import beside, history, names
from respool_hub.service.access import Caller, Scope, enter_entity, entities, find_run
from respool_hub.service.files import shown
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.service.show import brief, full, listed_files
from respool_hub.service.story import Story, tell
from respool_hub.store.ports import Reader
from respool_hub.store.rows import FileRow, ManifestRow, RunRow
from respoold.core.hubapi import damaged

RUN = "/v1/runs/{entity}/{project}/{run_id}"
MOST_RUNS = 1000
CHUNK = 256 << 10
LOOKED_AT = 32
"""What a line counts for that is not sent: so that a search for a rare key ends its turn too."""

MAX_KEYS = 1000
MOST_LAST = 100_000


class _FileName(Convertor[str]):
    """What is left of a path, whatever is in it: Starlette's own `path` ends at a newline."""

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("filename", _FileName())


def routes(hub: Hub) -> list[Route]:
    def reading(path: str, handle: Any) -> Route:
        return Route(path, Door(hub, Scope.READ, handle), methods=["GET"])

    return [
        reading("/v1/me", me),
        reading("/v1/runs", list_runs),
        reading(RUN, show_run),
        reading(RUN + "/history", show_history),
        reading(RUN + "/beside/{kind}", show_beside),
        reading(RUN + "/files", list_files),
        Route(RUN + "/files/{name:filename}", Door(hub, Scope.READ, get_file, tokens=True), methods=["GET"]),
    ]


async def me(hub: Hub, caller: Caller, _: Request) -> Response:
    scopes = [scope.name.lower() for scope in Scope if scope <= caller.scope]
    row = await hub.read(lambda reader: reader.key_of(caller.key_id))
    teams = await hub.read(lambda reader: [team.name for team in reader.teams(caller.user)])
    who = {"user": caller.user, "entity": caller.user, "scopes": scopes, "key_id": caller.key_id}
    more = {"project": caller.project, "teams": teams, "expires_at": row.expires_at if row else None}
    return as_json({**who, **more})


async def list_runs(hub: Hub, caller: Caller, request: Request) -> Response:
    asked = request.query_params
    entity, project = asked.get("entity"), asked.get("project") or caller.project
    limit = max(1, min(number_of(request, "limit", 100) or 100, MOST_RUNS))

    def look(reader: Reader) -> list[dict[str, Any]]:
        enter_entity(reader, caller, entity or caller.user, project)
        whose = [entity] if entity else entities(reader, caller)
        found = reader.runs(whose, project, asked.get("run_id") or None, limit)
        return [brief(reader, run, hub.ears.quiet, hub.url_of(run)) for run in found]

    return as_json({"runs": await hub.read(look)})


async def show_run(hub: Hub, caller: Caller, request: Request) -> Response:
    def look(reader: Reader) -> dict[str, Any]:
        run = run_of(reader, caller, request)
        return full(reader, run, hub.ears.quiet, hub.url_of(run)) | _storage(hub, reader, run)

    return as_json(await hub.study(look))


def _storage(hub: Hub, reader: Reader, run: RunRow) -> dict[str, Any]:
    """What the files of the run's project come to, where they are bounded."""
    if not hub.project_quota:
        return {}
    return {"storage": {"held": reader.held(run.entity, run.project), "quota": hub.project_quota}}


async def list_files(hub: Hub, caller: Caller, request: Request) -> Response:
    every = flag_of(request, "all")

    def look(reader: Reader) -> list[dict[str, Any]]:
        return listed_files(reader, run_of(reader, caller, request), every=every)

    return as_json({"files": await hub.read(look)})


async def get_file(hub: Hub, caller: Caller, request: Request) -> Response:
    name = names.file(request.path_params["name"])
    number = number_of(request, "attempt")
    found, manifest = await hub.read(lambda reader: _stored(reader, caller, request, name, number))
    headers = {"X-Respool-Attempt": found.attempt_id}
    if found.step is not None:
        headers["X-Respool-Step"] = str(found.step)
    if manifest is not None:
        span = range_of(request.headers.get("range", ""), manifest.size)
        return await part_response(hub, manifest, span, headers)  # type: ignore[return-value]
    blob = await hub.in_thread(lambda: hub.blobs.open(found.digest))
    if blob is None:
        raise RefusalError(damaged(repr(name), 1))
    return FileResponse(hub, blob, headers | {"X-Respool-Digest": found.digest})  # type: ignore[return-value]


def _stored(
    reader: Reader, caller: Caller, request: Request, name: str, number: int | None
) -> tuple[FileRow, ManifestRow | None]:
    found = _version(reader, run_of(reader, caller, request), name, number)
    return found, reader.manifest(found.digest)


def _version(reader: Reader, run: RunRow, name: str, number: int | None) -> FileRow:
    story = tell(reader, run.id, run.head)
    files = [file for file in reader.files(run.id) if file.name == name]
    if number is None:
        found = shown(files, story).get(name)
    else:
        mine = [file for file in files if story.attempts[file.attempt_id].number == number]
        found = mine[-1] if mine else None
    if found is None:
        which = "" if number is None else f" of attempt {number}"
        raise refuse(
            "missing", f"Run {run.run_id!r} has no file {name!r}{which}.", "See respool files RUN --all."
        )
    return found


async def show_history(hub: Hub, caller: Caller, request: Request) -> Response:
    asked = _asked(request)
    number, every = number_of(request, "attempt"), flag_of(request, "all")
    stream = _Lines(hub.store.reader())
    try:
        first = await hub.in_thread(lambda: stream.start(caller, request, asked, number, every))
    except BaseException:
        stream.close()
        raise
    return StreamingResponse(_chunks(hub, stream, first), media_type="application/x-ndjson")


async def show_beside(hub: Hub, caller: Caller, request: Request) -> Response:
    kind = request.path_params["kind"]
    if kind not in beside.KINDS:
        raise refuse("missing", f"There is no {kind!r} of a run.", f"Ask for {', '.join(beside.KINDS)}.")
    number, last = number_of(request, "attempt"), number_of(request, "last")
    stream = _Lines(hub.store.reader())
    try:
        first = await hub.in_thread(lambda: stream.start_beside(caller, request, kind, number, last))
    except BaseException:
        stream.close()
        raise
    return StreamingResponse(_chunks(hub, stream, first), media_type="application/x-ndjson")


async def _chunks(hub: Hub, stream: _Lines, first: bytes | None) -> AsyncIterator[bytes]:
    try:
        chunk: bytes | None = first
        while chunk is not None:
            if chunk:
                yield chunk
            chunk = await hub.in_thread(stream.chunk)
    finally:
        # A thread may still be reading for a client that left; it ends first.
        hub.streams.submit(stream.close)


class _Lines:
    """A history being read, in chunks of whole lines, with a connection of its own."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = Lock()
        self._lines: Iterator[str] = iter(())

    def start(
        self, caller: Caller, request: Request, asked: history.Asked, number: int | None, every: bool
    ) -> bytes | None:
        run = run_of(self._reader, caller, request)
        story = tell(self._reader, run.id, run.head)
        only = None if number is None else _attempt(story, run, number)
        if every:
            self._lines = history.every(self._reader, story, only, asked)
        else:
            chain = story.chain if only is None else history.own(story, only)
            self._lines = history.merged(self._reader, story, chain, asked)
        return self.chunk()

    def start_beside(
        self, caller: Caller, request: Request, kind: str, number: int | None, last: int | None
    ) -> bytes | None:
        run = run_of(self._reader, caller, request)
        story = tell(self._reader, run.id, run.head)
        only = None if number is None else _attempt(story, run, number)
        last = None if last is None else max(0, min(last, MOST_LAST))
        self._lines = beside.beside(self._reader, story, kind, only, last)
        return self.chunk()

    def chunk(self) -> bytes | None:
        """Some lines, maybe none; None at the end."""
        with self._lock:
            parts: list[str] = []
            size = 0
            for text in self._lines:
                parts.append(text)
                size += len(text) + LOOKED_AT
                if size >= CHUNK:
                    break
        if not parts:
            return None
        return "".join(f"{text}\n" for text in parts if text).encode("utf-8", "replace")

    def close(self) -> None:
        with self._lock:
            self._lines = iter(())
            self._reader.close()


def _attempt(story: Story, run: RunRow, number: int) -> str:
    for attempt in story.attempts.values():
        if attempt.number == number:
            return attempt.attempt_id
    raise refuse("missing", f"Run {run.run_id!r} has no attempt {number}.", "See respool show RUN.")


def _asked(request: Request) -> history.Asked:
    text = request.query_params.get("keys")
    keys = None if not text else frozenset(text.split(","))
    if keys is not None and len(keys) > MAX_KEYS:
        raise refuse("bad-request", f"keys names {len(keys)} metrics.", f"Ask for at most {MAX_KEYS}.")
    return history.Asked(keys, number_of(request, "min_step"), number_of(request, "max_step"))


def run_of(reader: Reader, caller: Caller, request: Request) -> RunRow:
    """The run that a request's path names. Raises RefusalError "missing", or "forbidden"."""
    path = request.path_params
    return find_run(reader, caller, path["entity"], path["project"], path["run_id"])
