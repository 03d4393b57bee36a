"""SQL over one SQLite connection: the `Reader` and the `Transaction` of the embedded store.

Statements are put together from the fields of the rows and from nothing else; values are always bound.
"""

# ruff: noqa: S608 - the pieces are this module's own constants

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from respool.wire import codec
from respool.wire.limits import MAX_BATCH, MAX_PAYLOAD
from respool_hub.store.checkpoint_queries import CheckpointReader, CheckpointWriter
from respool_hub.store.deletions import DeletionReader, DeletionTransaction
from respool_hub.store.order_queries import OrderReader, OrderTransaction
from respool_hub.store.packing import pack_map, unpack
from respool_hub.store.people import PeopleReader, PeopleTransaction
from respool_hub.store.rows import (
    NOBODY,
    AttemptRow,
    BatchData,
    BatchRow,
    Extent,
    FileRow,
    RunRow,
    WriterRow,
)
from respool_hub.store.slot_queries import SlotReader, SlotTransaction
from respool_hub.store.sweep_queries import SweepReader, SweepTransaction

_WRITER = "attempt_id, w.writer, next_seq, rows, lost, last_step, step_1, step_2, cut, first_time, named"
_BATCH = "id, attempt_id, writer, first_seq, next_seq, rows, min_step, max_step"
_FILE = "f.attempt_id, writer, seq, name, digest, size, step, time, metadata"
_BOOLS = ("parent_known", "offline", "attended", "alive", "marked", "ended", "gone", "claimed", "branch")
_MORE = ("was_head", "superseded", "explicit", "noticed")
_FLAGS = [AttemptRow._fields.index(name) for name in (*_BOOLS, *_MORE)]


def _columns(cls: Any) -> str:
    return ", ".join(cls._fields)


def _marks(cls: Any) -> str:
    return ", ".join("?" * len(cls._fields))


def _assignments(cls: Any) -> str:
    return ", ".join(f"{name} = ?" for name in cls._fields[1:])


_RUN = _columns(RunRow)
_ATTEMPT = _columns(AttemptRow)
_INSERT_RUN = f"INSERT INTO runs ({_RUN}) VALUES ({_marks(RunRow)})"
_UPDATE_RUN = f"UPDATE runs SET {_assignments(RunRow)} WHERE id = ?"
_INSERT_ATTEMPT = f"INSERT INTO attempts ({_ATTEMPT}) VALUES ({_marks(AttemptRow)})"
_UPDATE_ATTEMPT = f"UPDATE attempts SET {_assignments(AttemptRow)} WHERE attempt_id = ?"
_INSERT_BATCH = f"INSERT INTO batches ({_columns(BatchData)}) VALUES ({_marks(BatchData)})"
_INSERT_FILE = f"INSERT OR IGNORE INTO files ({_columns(FileRow)}) VALUES ({_marks(FileRow)})"


class SqliteReader(PeopleReader, DeletionReader, CheckpointReader, SlotReader, OrderReader, SweepReader):
    """See `respool_hub.store.ports.Reader`. Closes its connection when it `owns` it."""

    def incarnation(self) -> str:
        return str(self.setting("incarnation"))

    def extent(self) -> Extent:
        attempts = self._one("SELECT max(rowid) FROM attempts")[0]
        return Extent(attempts or 0, self._one("SELECT max(id) FROM batches")[0] or 0)

    def run(self, entity: str, project: str, run_id: str) -> RunRow | None:
        sql = f"SELECT {_RUN} FROM runs WHERE entity = ? AND project = ? AND run_id = ?"
        row = self._one(sql, entity, project, run_id)
        return row and _run(row)

    def run_of(self, run: int) -> RunRow:
        return _run(self._one(f"SELECT {_RUN} FROM runs WHERE id = ?", run))

    def runs(
        self, entities: list[str] | None, project: str | None, run_id: str | None, limit: int
    ) -> list[RunRow]:
        asked = {"project": project, "run_id": run_id}
        given = {name: value for name, value in asked.items() if value is not None}
        among = "entity <> ?" if entities is None else f"entity IN ({', '.join('?' * len(entities))})"
        where = " AND ".join([among, *(f"{name} = ?" for name in given)])
        sql = f"SELECT {_RUN} FROM runs WHERE {where} ORDER BY active_at DESC, id DESC LIMIT ?"
        whose = [NOBODY] if entities is None else entities
        return [_run(row) for row in self._all(sql, *whose, *given.values(), limit)]

    def attempt(self, attempt_id: str) -> AttemptRow | None:
        row = self._one(f"SELECT {_ATTEMPT} FROM attempts WHERE attempt_id = ?", attempt_id)
        return row and _attempt(row)

    def attempts(self, run: int) -> list[AttemptRow]:
        rows = self._all(f"SELECT {_ATTEMPT} FROM attempts WHERE run = ? ORDER BY number", run)
        return [_attempt(row) for row in rows]

    def writer(self, attempt_id: str, writer: int) -> WriterRow | None:
        sql = f"SELECT {_WRITER} FROM writers w WHERE attempt_id = ? AND writer = ?"
        row = self._one(sql, attempt_id, writer)
        return row and _writer(row)

    def writers(self, run: int) -> list[WriterRow]:
        sql = f"SELECT w.{_WRITER} FROM writers w JOIN attempts a USING (attempt_id) WHERE a.run = ?"
        return [_writer(row) for row in self._all(sql + " ORDER BY a.number, w.writer", run)]

    def view(self, attempt_id: str, writer: int) -> bytes:
        sql = "SELECT view FROM writers WHERE attempt_id = ? AND writer = ?"
        row = self._one(sql, attempt_id, writer)
        return bytes(row[0]) if row else b""

    def batches(self, attempt_id: str) -> list[BatchRow]:
        sql = f"SELECT {_BATCH} FROM batches WHERE attempt_id = ? ORDER BY writer, first_seq"
        return [BatchRow(*row) for row in self._all(sql, attempt_id)]

    def batch(self, batch: int) -> bytes:
        packing, data = self._one("SELECT codec, data FROM batches WHERE id = ?", batch)
        return unpack(packing, data, MAX_BATCH + 2 * MAX_PAYLOAD)

    def files(self, run: int) -> list[FileRow]:
        sql = f"SELECT {_FILE} FROM files f JOIN attempts a USING (attempt_id) WHERE a.run = ?"
        rows = self._all(sql + " ORDER BY a.number, seq, writer", run)
        return [FileRow(*row)._replace(metadata=codec.unpack_map(row[-1])) for row in rows]

    def close(self) -> None:
        if self._owns:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SqliteTransaction(
    SqliteReader,
    PeopleTransaction,
    DeletionTransaction,
    CheckpointWriter,
    SlotTransaction,
    OrderTransaction,
    SweepTransaction,
):
    """See `respool_hub.store.ports.Transaction`. The store begins and commits."""

    def add_run(self, run: RunRow) -> RunRow:
        values = run._replace(id=None, meta=pack_map(run.meta))  # type: ignore[arg-type]
        return run._replace(id=int(self._db.execute(_INSERT_RUN, values).lastrowid or 0))

    def put_run(self, run: RunRow) -> None:
        values = run._replace(meta=pack_map(run.meta))  # type: ignore[arg-type]
        self._db.execute(_UPDATE_RUN, (*values[1:], run.id))

    def add_attempt(self, attempt: AttemptRow) -> None:
        self._db.execute(_INSERT_ATTEMPT, attempt)

    def put_attempt(self, attempt: AttemptRow) -> None:
        self._db.execute(_UPDATE_ATTEMPT, (*attempt[1:], attempt.attempt_id))

    def put_writer(self, writer: WriterRow, view: bytes) -> None:
        steps = (*writer.steps, None, None)[:2]
        values = (*writer[:6], *steps, writer.cut, writer.first_time, view, writer.named)
        self._db.execute(f"INSERT OR REPLACE INTO writers VALUES ({', '.join('?' * 12)})", values)

    def add_batch(self, batch: BatchData) -> None:
        self._db.execute(_INSERT_BATCH, batch)

    def add_file(self, file: FileRow) -> None:
        self._db.execute(_INSERT_FILE, (*file[:-1], pack_map(file.metadata)))


def _run(row: Any) -> RunRow:
    found = RunRow(*row)
    return found._replace(meta=codec.unpack_map(row[6]))


def _attempt(row: Any) -> AttemptRow:
    values = list(row)
    for index in _FLAGS:
        values[index] = bool(values[index])
    return AttemptRow(*values)


def _writer(row: Any) -> WriterRow:
    attempt_id, writer, next_seq, rows, lost, last_step, step_1, step_2, cut, first_time, named = row
    steps = tuple(step for step in (step_1, step_2) if step is not None)
    return WriterRow(attempt_id, writer, next_seq, rows, lost, last_step, steps, cut, first_time, bool(named))
