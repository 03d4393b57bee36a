"""Attempts of a folder into a hub's tables in memory, by the hub's own transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from respool import spool_papers
from respool.wire.attempt import BLOBS
from respool.wire.frames import NO_STEP, Frame, Kind
from respool.wire.segment import parse_segment_name
from respool_hub.clock import Ears, Now, SystemClock
from respool_hub.service.access import Caller, Scope
from respool_hub.service.append import Where, append
from respool_hub.service.batch import Body
from respool_hub.service.fold import Fold
from respool_hub.service.payload import map_in, map_of
from respool_hub.service.refusal import RefusalError
from respool_hub.service.register import register
from respool_hub.service.slots import settle
from respool_hub.store.queries import SqliteTransaction
from respool_hub.store.rows import CheckpointRow, FileRow, PartRow, WriterRow
from respool_hub.store.schema import migrate
from respoold.cli.loose.folder import Lying, lives, owner_of
from respoold.cli.loose.frames import Piece, pieces
from respoold.core.hubapi import AttachRequest

READER = Caller("", Scope.ADMIN, None, "the folder's reader")


class Gone(NamedTuple):
    """Records of a run that are not in the folder any more: the hub took them."""

    project: str
    run_id: str
    records: int


class Filling:
    """Tables in memory. `blobs` says where the bytes of a file are: (attempt, writer, seq, name) to a path."""

    def __init__(self) -> None:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        migrate(connection)
        self.tx = SqliteTransaction(connection, owns=True)
        self.ears = Ears(SystemClock())
        self.blobs: dict[tuple[str, int, int, str], str] = {}
        self.gone: list[Gone] = []
        self.passed_over: list[str] = []
        self._connection = connection

    def take(self, found: Iterable[Lying]) -> None:
        """Put attempts in, parents first. One that the tables refuse is passed over, and said so."""
        found = list(found)
        entities = {_run(one): one.entity for one in found if one.entity}
        self._connection.execute("BEGIN")
        for one in found:
            try:
                self._take(one, entities.get(_run(one)) or owner_of(one.file))
            except RefusalError as error:
                self.passed_over.append(f"{one.directory} is passed over: {error.problem.cause}")
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self.tx.close()

    def _take(self, one: Lying, entity: str) -> None:
        watched = any(lives(writer) for writer in one.writers)
        now = Now(one.request.started_at, self.ears)
        register(self.tx, READER, _asked(one, entity, watched), now, "this folder")
        self._number(one)
        facts = spool_papers.progress(one.directory)
        latest = one.request.started_at
        for writer in _slots(one):
            latest = max(latest, self._read(one, writer, facts.facts.get(writer, {})))
        for record in facts.files:
            self._file(one, 0, int(record["seq"]), int(record["step"]), 0.0, record)
        self._end(one, latest)

    def _number(self, one: Lying) -> None:
        """The number that the hub gave it, where it is free."""
        attempt = self.tx.attempt(one.file.attempt_id)
        if attempt is None or not one.file.number:
            return
        others = {row.number for row in self.tx.attempts(attempt.run)}
        if one.file.number not in others:
            self.tx.put_attempt(attempt._replace(number=one.file.number))

    def _read(self, one: Lying, writer: int, facts: dict[str, Any]) -> float:
        """A writer's records; when the last of them was written."""
        last = 0.0
        for index, piece in enumerate(pieces(one.directory, writer)):
            if index == 0 and piece.frames[0].seq:
                self._begin_late(one, writer, piece.frames[0], facts)
            at = piece.frames[-1].time
            where = Where(one.file.attempt_id, writer, piece.frames[0].seq)
            body = Body(piece.frames, piece.raw, "", piece.raw)
            append(self.tx, READER, where, body, Now(at, self.ears))
            self._blobs(one, writer, piece)
            last = max(last, at)
        return last

    def _begin_late(self, one: Lying, writer: int, first: Frame, facts: dict[str, Any]) -> None:
        """The segments before are removed: what they came to is in the keeper's notes and in the snapshot."""
        row = WriterRow(one.file.attempt_id, writer, next_seq=first.seq)
        fold = Fold(row, root=False)
        fold.view.apply(first)
        fold.view.take_facts(facts)
        kept = fold.written(first.seq, None)
        self.tx.put_writer(kept, fold.dump())
        self.gone.append(Gone(one.request.project, one.request.run_id, first.seq))

    def _blobs(self, one: Lying, writer: int, piece: Piece) -> None:
        for frame in piece.frames:
            record = map_in(frame.payload) if frame.kind in {Kind.FILE, Kind.CHECKPOINT} else None
            if record is None:
                continue
            if frame.kind == Kind.FILE:
                self._file(one, writer, frame.seq, frame.step, frame.time, record)
            else:
                self._checkpoint(one, writer, frame, record)

    def _file(
        self, one: Lying, writer: int, seq: int, step: int, time: float, record: dict[str, Any]
    ) -> None:
        name, size = record.get("name"), record.get("size")
        if not isinstance(name, str) or not isinstance(size, int):
            return
        where = (one.file.attempt_id, writer, seq)
        at = None if step == NO_STEP else step
        self.tx.add_file(FileRow(*where, name, "", size, at, time, map_of(record.get("metadata"))))
        self.blobs.setdefault((*where, name), _blob(one, record))

    def _checkpoint(self, one: Lying, writer: int, frame: Frame, record: dict[str, Any]) -> None:
        parts = [part for part in record.get("parts") or () if isinstance(part, dict)]
        name, step = record.get("name"), record.get("step")
        if not parts or not isinstance(name, str) or not isinstance(step, int):
            return
        where = (one.file.attempt_id, writer, frame.seq)
        rank, world = int(record.get("rank") or 0), int(record.get("world") or 1)
        row = CheckpointRow(
            *where, name, step, rank, world, frame.time, map_of(record.get("metadata")),
            map_of(record.get("keep")), record.get("score"), bool(record.get("pinned")), logged=frame.step,
        )  # fmt: skip
        rows = [
            PartRow(*where, index, str(part.get("name")), "", int(part.get("size") or 0))
            for index, part in enumerate(parts)
        ]
        self.tx.add_checkpoint(row, rows)
        for part in parts:
            self.blobs[(*where, str(part.get("name")))] = _blob(one, part)

    def _end(self, one: Lying, latest: float) -> None:
        """What is known of its processes: gone where they lived on this machine, else unknown."""
        attempt = self.tx.attempt(one.file.attempt_id)
        if attempt is None:
            return
        for slot, writer in zip(self.tx.slots(attempt.attempt_id), one.writers, strict=False):
            if lives(writer) is False and not (slot.ended or slot.gone):
                attempt = settle(self.tx, attempt, slot._replace(alive=False, gone=True))
        over = attempt.ended or attempt.gone
        ended = attempt.ended_at if attempt.ended_at is not None else latest
        self.tx.put_attempt(attempt._replace(heartbeat_at=latest, ended_at=ended if over else None))


def _run(one: Lying) -> tuple[str, str]:
    return one.request.project, one.request.run_id


def _asked(one: Lying, entity: str, watched: bool) -> AttachRequest:
    request, file = one.request, one.file
    shared = {name: getattr(request, name) for name in AttachRequest._fields if name in request._fields}
    slots = [
        {
            "writer": writer.writer,
            "incarnation": writer.incarnation,
            "node": writer.node,
            "pid": writer.pid,
            "joined": writer.joined,
        }
        for writer in one.writers
    ]
    known = {"parent": file.parent, "parent_known": file.parent_known, "generation": file.generation}
    mine = {"attempt_id": file.attempt_id, "offline": True, "attended": watched, "writers": slots}
    return AttachRequest(**(shared | known | mine | {"entity": entity}))


def _slots(one: Lying) -> list[int]:
    """The writers that have segments, the daemon's own among them, which has no paper."""
    numbered = (parse_segment_name(name) for name in spool_papers.names(one.directory))
    return sorted({where[0] for where in numbered if where is not None})


def _blob(one: Lying, record: dict[str, Any]) -> str:
    return os.path.join(one.directory, BLOBS, os.path.basename(str(record.get("blob"))))
