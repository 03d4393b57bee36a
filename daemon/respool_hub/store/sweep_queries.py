"""SQL over sweeps and their assignments."""

# ruff: noqa: S608 - the pieces are this module's own constants

from __future__ import annotations

from typing import Any

from respool.wire import codec
from respool_hub.store.connected import Connected
from respool_hub.store.packing import pack_map
from respool_hub.store.rows import AssignmentRow, SweepRow

_SWEEP = ", ".join(SweepRow._fields)
_INSERT = f"INSERT INTO sweeps ({_SWEEP}) VALUES ({', '.join('?' * len(SweepRow._fields))})"
_ASSIGNMENT = ", ".join(AssignmentRow._fields)
_PUT = f"INSERT OR REPLACE INTO assignments ({_ASSIGNMENT}) VALUES ({', '.join('?' * len(AssignmentRow._fields))})"


class SweepReader(Connected):
    """The part of `respool_hub.store.ports.Reader` that is about sweeps."""

    def sweep(self, entity: str, project: str, sweep_id: str) -> SweepRow | None:
        where = "entity = ? AND project = ? AND sweep_id = ?"
        row = self._one(f"SELECT {_SWEEP} FROM sweeps WHERE {where}", entity, project, sweep_id)
        return row and _sweep(row)

    def sweeps(
        self, entities: list[str] | None, project: str | None, sweep_id: str | None, limit: int
    ) -> list[SweepRow]:
        named = {"project": project, "sweep_id": sweep_id}
        values = [value for value in named.values() if value is not None]
        clauses = [f"{column} = ?" for column, value in named.items() if value is not None]
        if entities is not None:
            clauses.append(f"entity IN ({', '.join('?' * len(entities))})")
            values += entities
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        rows = self._all(f"SELECT {_SWEEP} FROM sweeps {where} ORDER BY id DESC LIMIT ?", *values, limit)
        return [_sweep(row) for row in rows]

    def assignments(self, sweep: int, state: str | None = None) -> list[AssignmentRow]:
        sql = f"SELECT {_ASSIGNMENT} FROM assignments WHERE sweep = ?"
        if state is None:
            return [_assignment(row) for row in self._all(f"{sql} ORDER BY number", sweep)]
        rows = self._all(f"{sql} AND state = ? ORDER BY number", sweep, state)
        return [_assignment(row) for row in rows]

    def assigned(self, sweep: int) -> int:
        return int(self._one("SELECT count(*) FROM assignments WHERE sweep = ?", sweep)[0])

    def assignment(self, sweep: int, lease: str) -> AssignmentRow | None:
        sql = f"SELECT {_ASSIGNMENT} FROM assignments WHERE sweep = ? AND lease = ?"
        row = self._one(sql, sweep, lease)
        return row and _assignment(row)


class SweepTransaction(SweepReader):
    """The part of `respool_hub.store.ports.Transaction` that is about sweeps."""

    def add_sweep(self, sweep: SweepRow) -> SweepRow:
        values = sweep._replace(id=None, config=pack_map(sweep.config))  # type: ignore[arg-type]
        return sweep._replace(id=int(self._db.execute(_INSERT, values).lastrowid or 0))

    def put_sweep(self, sweep: SweepRow) -> None:
        self._db.execute("UPDATE sweeps SET state = ? WHERE id = ?", (sweep.state, sweep.id))

    def put_assignment(self, assignment: AssignmentRow) -> None:
        maps = {name: pack_map(getattr(assignment, name)) for name in ("point", "parameters", "marks")}
        self._db.execute(_PUT, assignment._replace(**maps))  # type: ignore[arg-type]


def _sweep(row: tuple[object, ...]) -> SweepRow:
    found = SweepRow(*row)  # type: ignore[arg-type]
    return found._replace(config=_map(found.config))


def _assignment(row: tuple[object, ...]) -> AssignmentRow:
    found = AssignmentRow(*row)  # type: ignore[arg-type]
    maps = {"point": _map(found.point), "parameters": _map(found.parameters), "marks": _map(found.marks)}
    return found._replace(stopped=bool(found.stopped), **maps)  # type: ignore[arg-type]


def _map(packed: Any) -> dict[str, Any]:
    return codec.unpack_map(bytes(packed))
