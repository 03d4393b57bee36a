"""An exported run as one finished attempt in a spool, which `respool sync` would send.

The same export makes the same attempt and the same records, so that an import that broke off goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from blake3 import blake3

from respool.row_codec import packed
from respool.wire.attempt import ATTEMPT_FILE, BLOBS, AttemptFile, Request
from respool.wire.frames import NO_STEP, Kind, encode
from respool.wire.identity import attempt_id_of
from respool.wire.limits import SEGMENT_SIZE
from respool.wire.segment import DATA, SegmentHeader, encode_header, segment_name
from respoold.cli.errors import CommandError, Exit
from respoold.cli.exported import inside
from respoold.cli.imported import Export, Row

_LABELS = ("name", "notes", "tags", "group", "job_type")
_ROOM = SEGMENT_SIZE - DATA
PIECE = 1 << 20


class Named(NamedTuple):
    """What the run shall be called. `entity` None: the key's own."""

    entity: str | None
    project: str
    run_id: str
    original_id: str


def attempt_of(export: Export, named: Named) -> str:
    """The id of the attempt that this import makes."""
    return attempt_id_of(named.project, named.run_id, f"import {export.mark}", 0)


def rebuild(export: Export, named: Named, spool: str) -> int:
    """Write the attempt into `spool`; how many rows it has. Raises CommandError for an export that is damaged."""
    attempt_id = attempt_of(export, named)
    folder = os.path.join(spool, attempt_id)
    os.makedirs(os.path.join(folder, BLOBS), mode=0o700)
    view = {name: export.part(name) for name in ("config", "summary")}
    writer = _Writer(folder, attempt_id, view | {"meta": export.run.get("meta") or {}}, _began(export))
    rows = sum(writer.row(row) for row in export.rows())
    for name, kind in (("console", Kind.CONSOLE), ("system", Kind.SYSTEM)):
        for line in export.lines(name):
            writer.beside(kind, line)
    for one in export.told.get("files") or []:
        writer.file(export.folder, one)
    writer.end(view["summary"], _exit_code(export))
    _paper(folder, attempt_id, export, named)
    return rows


def _began(export: Export) -> float:
    """When the run was created, as history's `_runtime` has it."""
    first: Row = next(export.rows(), {})
    at, since = first.get("_timestamp"), first.get("_runtime")
    if isinstance(at, int | float) and isinstance(since, int | float):
        return float(at - since)
    created = export.run.get("created_at")
    return float(created) if isinstance(created, int | float) else 0.0


def _exit_code(export: Export) -> int:
    """0, but for a run that failed with another one."""
    last = (export.run.get("attempts") or [{}])[-1].get("exit_code")
    return last if export.run.get("state") == "failed" and isinstance(last, int) else 0


def _paper(folder: str, attempt_id: str, export: Export, named: Named) -> None:
    meta = export.run.get("meta") or {}
    request = Request(
        project=named.project,
        run_id=named.run_id,
        original_id=named.original_id,
        incarnation=f"import {export.mark}",
        launch=f"import {export.mark}",
        resume="never",
        entity=named.entity,
        boot_id="import",
        node=str(export.run.get("node") or "import"),
        meta={name: meta[name] for name in _LABELS if meta.get(name) is not None},
        started_at=_began(export),
        system=False,
    )
    paper = AttemptFile(attempt_id, request._asdict(), os.getuid(), entity=named.entity)
    with open(os.path.join(folder, ATTEMPT_FILE), "w", encoding="utf-8") as file:
        json.dump(paper._asdict(), file)


class _Writer:
    """The segments of the attempt's only writer, each begun with the run's config, summary and meta."""

    def __init__(self, folder: str, attempt_id: str, view: dict[str, Any], began: float) -> None:
        self._folder, self._attempt_id, self._view = folder, attempt_id, view
        self._last: int | None = None
        self._keys: set[str] = set()
        self._time = began
        self._seq = 0
        self._segment = -1
        self._room = 0
        self._begin()

    def row(self, row: Row) -> int:
        """One line of the history; 1."""
        step = int(row.pop("_step"))
        self._last = max(step, step if self._last is None else self._last)
        at = row.pop("_timestamp", None)
        self._time = max(self._time, at) if isinstance(at, int | float) else self._time
        row.pop("_runtime", None)
        self._keys.update(row)
        self._keep(Kind.ROW, row, step, at)
        return 1

    def beside(self, kind: Kind, line: Row) -> None:
        """A printed line or a sample of the load, as the hub gave it."""
        value = {key: item for key, item in line.items() if not key.startswith("_")}
        self._keep(kind, value, int(line.get("_step", NO_STEP)), line.get("_timestamp"))

    def file(self, export: str, one: dict[str, Any]) -> None:
        """A file's bytes into the attempt, compared with their digest, and its record behind them."""
        name, token = str(one.get("name")), f"i{self._seq}"
        source = os.path.join(export, "files", inside(name))
        try:
            size, digest = _copy(source, os.path.join(self._folder, BLOBS, token))
        except OSError as error:
            cause = f"{source} cannot be read: {error.strerror or error}."
            raise CommandError(Exit.USAGE, cause, "Export the run again.") from error
        if digest != one.get("digest"):
            cause = f"{source} is not what was exported: its BLAKE3 is {digest[:12]}."
            raise CommandError(Exit.BAD, cause, "Put the right one there, or export the run again.")
        step = one.get("step")
        self._keep(
            Kind.FILE, {"name": name, "blob": token, "size": size}, NO_STEP if step is None else int(step)
        )

    def end(self, summary: dict[str, Any], exit_code: int) -> None:
        """The end, with the summary as it was: what it lacks of the rows' keys (`a.b` of a map) is unset."""
        self._keep(Kind.SUMMARY, {"set": summary, "unset": sorted(self._keys - summary.keys())})
        self._keep(Kind.STATE, {"state": "ended", "exit_code": exit_code, "reason": "finish"})

    def _keep(self, kind: Kind, value: dict[str, Any], step: int = NO_STEP, at: Any = None) -> None:
        payload = packed(value)
        encoded: Callable[[], bytes] = lambda: encode(  # noqa: E731 - its seq is known when there is room
            kind, payload, seq=self._seq, step=step, time=float(at) if at is not None else self._time
        )
        if self._room < len(encoded()):
            self._begin()
        self._write(encoded())

    def _begin(self) -> None:
        self._segment, self._room = self._segment + 1, _ROOM
        header = SegmentHeader(self._attempt_id, 0, self._segment, self._time)
        with open(self._path, "wb") as file:
            file.write(encode_header(header))
        payload = packed(self._view | {"last_step": self._last})
        self._write(encode(Kind.SNAPSHOT, payload, seq=self._seq, time=self._time))

    def _write(self, raw: bytes) -> None:
        with open(self._path, "ab") as file:
            file.write(raw)
        self._seq, self._room = self._seq + 1, self._room - len(raw)

    @property
    def _path(self) -> str:
        return os.path.join(self._folder, segment_name(0, self._segment))


def _copy(source: str, target: str) -> tuple[int, str]:
    hasher, size = blake3(), 0
    with open(source, "rb") as file, open(target, "wb") as copy:
        while piece := file.read(PIECE):
            copy.write(piece)
            hasher.update(piece)
            size += len(piece)
    return size, hasher.hexdigest()
