"""The paths that commands ask a hub for, answered from a folder. An httpx transport: the commands see a hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn
from urllib.parse import unquote

import httpx
from blake3 import blake3

from respool_hub.service import beside, checkpoints, history, mend
from respool_hub.service.access import find_run
from respool_hub.service.files import shown
from respool_hub.service.refusal import RefusalError, refuse
from respool_hub.service.show import brief, full, listed_files
from respool_hub.service.story import Story, tell
from respool_hub.store.rows import FileRow, RunRow
from respoold.cli.loose.filling import READER, Filling
from respoold.cli.loose.folder import Lying, attempts

PIECE = 1 << 20
Query = dict[str, str]


class FolderTransport(httpx.BaseTransport):
    """Answers from the attempts in `folder`; only the runs that are asked about are read."""

    def __init__(self, folder: str, note: Callable[[str], None]) -> None:
        self._lying = attempts(folder)
        self._filling = Filling()
        self._read: set[str] = set()
        self._note = note

    def close(self) -> None:
        self._filling.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One answer. What is no question is refused: the folder is only read."""
        try:
            if request.method != "GET":
                raise refuse("method", "A folder is only read.", "Use the hub for that: leave --spool out.")
            raw = request.url.raw_path.decode("ascii").partition("?")[0]
            parts = [unquote(part) for part in raw.split("/")[2:]]
            return self._answer(parts, dict(request.url.params))
        except RefusalError as error:
            problem = error.problem
            return _json(
                {"code": problem.code, "cause": problem.cause, "advice": problem.advice}, error.status
            )

    def _answer(self, parts: list[str], query: Query) -> httpx.Response:
        if parts == ["runs"]:
            return self._runs(query)
        if len(parts) < 4 or parts[0] != "runs":
            _nothing(parts)
        self._fill(parts[3])
        run = find_run(self._filling.tx, READER, *parts[1:4])
        story = tell(self._filling.tx, run.id, run.head)
        match parts[4:]:
            case []:
                return _json(full(self._filling.tx, run, self._filling.ears.quiet, None))
            case ["history"]:
                return _lines(self._history(run, story, query))
            case ["beside", kind] if kind in beside.KINDS:
                last = int(query["last"]) if "last" in query else None
                only = _attempt(story, run, query)
                return _lines(beside.beside(self._filling.tx, story, kind, only, last))
            case ["lineage"]:
                return _json(mend.tree(self._filling.tx, run, self._filling.ears.quiet))
            case ["checkpoints"]:
                return _json({"checkpoints": self._checkpoints(run, story)})
            case ["files"]:
                return _json({"files": self._files(run, query)})
            case ["files", *name]:
                return self._file(run, story, "/".join(name), query)
        return _nothing(parts)

    def _fill(self, run_id: str | None) -> None:
        """Read the runs of that id, or all of them."""
        wanted = [one for one in self._lying if run_id in {None, one.request.run_id}]
        fresh = [one for one in wanted if one.request.run_id not in self._read]
        self._read.update(one.request.run_id for one in fresh)
        self._filling.take(fresh)
        self._tell(fresh)

    def _tell(self, fresh: list[Lying]) -> None:
        runs = {(one.request.project, one.request.run_id) for one in fresh}
        for project, run_id in sorted(runs):
            gone = sum(one.records for one in self._filling.gone if one[:2] == (project, run_id))
            if gone:
                self._note(
                    f"{gone} records of {project}/{run_id} are at the hub and no longer in this folder."
                )
        for text in self._filling.passed_over:
            self._note(text)
        self._filling.passed_over.clear()

    def _runs(self, query: Query) -> httpx.Response:
        self._fill(query.get("run_id"))
        entities = [query["entity"]] if query.get("entity") else None
        limit = int(query.get("limit", 100))
        found = self._filling.tx.runs(entities, query.get("project"), query.get("run_id"), limit)
        quiet = self._filling.ears.quiet
        return _json({"runs": [brief(self._filling.tx, run, quiet, None) for run in found]})

    def _history(self, run: RunRow, story: Story, query: Query) -> Iterator[str]:
        numbers = (int(query[name]) if name in query else None for name in ("min_step", "max_step"))
        keys = frozenset(query["keys"].split(",")) if query.get("keys") else None
        asked = history.Asked(keys, *numbers)
        only = _attempt(story, run, query)
        if query.get("all"):
            return history.every(self._filling.tx, story, only, asked)
        chain = story.chain if only is None else history.own(story, only)
        return history.merged(self._filling.tx, story, chain, asked)

    def _files(self, run: RunRow, query: Query) -> list[dict[str, Any]]:
        found = listed_files(self._filling.tx, run, every=bool(query.get("all")))
        by_place = {(row[0], row[2], row[3]): row for row in self._filling.tx.files(run.id)}
        for one in found:
            row = by_place[one["attempt_id"], one["seq"], one["name"]]
            one["digest"] = None
            one["here"] = self._path(row) is not None
        return found

    def _checkpoints(self, run: RunRow, story: Story) -> list[dict[str, Any]]:
        """Those that the lineage shows and of which anything lies in this folder; of each part the path of its bytes,
        if they do. A part that was removed makes the rest incomplete.
        """
        paths: dict[tuple[str, str, int, int, str], str] = {}
        shares = {row[:3]: row for row in self._filling.tx.checkpoints(run.id)}
        for part in self._filling.tx.parts(run.id):
            share, path = shares[part[:3]], self._filling.blobs.get((*part[:3], part.name))
            if path is not None and os.path.exists(path) and os.stat(path).st_size == part.size:
                paths[share.attempt_id, share.name, share.step, share.rank, part.name] = path
        found = checkpoints.listed(self._filling.tx, run.id, story)
        for one in found:
            for told in one["parts"]:
                key = (one["attempt_id"], one["name"], one["step"], told["rank"], told["name"])
                told["path"] = paths.get(key)
            one["source"] = "spool"
            one["complete"] = one["complete"] and all(told["path"] for told in one["parts"])
        return [one for one in found if any(told["path"] for told in one["parts"])]

    def _path(self, row: FileRow) -> str | None:
        """Where a version's bytes are, if they are all there."""
        path = self._filling.blobs.get((row.attempt_id, row.writer, row.seq, row.name))
        try:
            return path if path is not None and os.stat(path).st_size == row.size else None
        except OSError:
            return None

    def _file(self, run: RunRow, story: Story, name: str, query: Query) -> httpx.Response:
        only, rows = _attempt(story, run, query), self._filling.tx.files(run.id)
        mine = [row for row in rows if row.name == name and only in {None, row.attempt_id}]
        found = shown(rows, story).get(name) if only is None else mine[-1] if mine else None
        if found is None:
            raise refuse("missing", f"Run {run.run_id!r} has no file {name!r} in this folder.", _LISTED)
        path = self._path(found)
        if path is None:
            said = f"The bytes of {name!r} are no longer in this folder."
            raise refuse("missing", said, "The hub has them: leave --spool out.")
        headers = {"x-respool-digest": _digest(path), "content-length": str(found.size)}
        return httpx.Response(200, headers=headers, content=_bytes(path))


_LISTED = "See `respool files RUN --spool DIR --all`."


def _attempt(story: Story, run: RunRow, query: Query) -> str | None:
    if "attempt" not in query:
        return None
    for attempt in story.attempts.values():
        if attempt.number == int(query["attempt"]):
            return attempt.attempt_id
    said = f"Run {run.run_id!r} has no attempt {query['attempt']} in this folder."
    raise refuse("missing", said, "See `respool show RUN --spool DIR`.")


def _nothing(parts: list[str]) -> NoReturn:
    raise refuse("missing", f"A folder has no {'/'.join(parts)}.", "Ask the hub: leave --spool out.")


def _json(item: dict[str, Any], status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(item).encode())


def _lines(found: Iterable[str]) -> httpx.Response:
    chunks = (line.encode("utf-8", "replace") + b"\n" for line in found if line)
    return httpx.Response(200, content=chunks)


def _bytes(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _digest(path: str) -> str:
    hasher = blake3()
    for piece in _bytes(path):
        hasher.update(piece)
    return hasher.hexdigest()
