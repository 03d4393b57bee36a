"""SQL over the writers of attempts, and over what the nodes hold of them."""

# ruff: noqa: S608 - the pieces are this module's own constants

from __future__ import annotations

from typing import Any

from respool_hub.store.connected import Connected
from respool_hub.store.rows import BacklogRow, NodeRow, SlotRow

_SLOT = ", ".join(SlotRow._fields)
_BACKLOG = ", ".join(BacklogRow._fields)
_FLAGS = [SlotRow._fields.index(name) for name in ("joined", "alive", "ended", "explicit", "gone")]


def _put(table: str, cls: Any) -> str:
    return f"INSERT OR REPLACE INTO {table} ({', '.join(cls._fields)}) VALUES ({', '.join('?' * len(cls._fields))})"


class SlotReader(Connected):
    """The part of `respool_hub.store.ports.Reader` that is about writers and nodes."""

    def slots(self, attempt_id: str) -> list[SlotRow]:
        sql = f"SELECT {_SLOT} FROM slots WHERE attempt_id = ? ORDER BY writer"
        return [_slot(row) for row in self._all(sql, attempt_id)]

    def slots_of(self, incarnation: str) -> list[SlotRow]:
        return [
            _slot(row) for row in self._all(f"SELECT {_SLOT} FROM slots WHERE incarnation = ?", incarnation)
        ]

    def guests(self, run: int) -> set[tuple[str, int]]:
        sql = "SELECT attempt_id, writer FROM slots s JOIN attempts a USING (attempt_id) WHERE a.run = ? AND s.joined"
        return {(row[0], row[1]) for row in self._all(sql, run)}

    def backlogs(self, attempt_id: str) -> list[BacklogRow]:
        sql = f"SELECT {_BACKLOG} FROM backlogs WHERE attempt_id = ? ORDER BY node"
        return [BacklogRow(*row) for row in self._all(sql, attempt_id)]

    def backlogs_on(self, node: str) -> list[BacklogRow]:
        sql = f"SELECT {_BACKLOG} FROM backlogs WHERE node = ? ORDER BY attempt_id"
        return [BacklogRow(*row) for row in self._all(sql, node)]

    def nodes(self, user: str | None) -> list[NodeRow]:
        where = "" if user is None else "WHERE user = ?"
        sql = f"SELECT {', '.join(NodeRow._fields)} FROM nodes {where} ORDER BY node, user"
        return [NodeRow(*row) for row in self._all(sql, *([] if user is None else [user]))]


class SlotTransaction(SlotReader):
    """The part of `respool_hub.store.ports.Transaction` that is about writers and nodes."""

    def put_slot(self, slot: SlotRow) -> None:
        self._db.execute(_put("slots", SlotRow), slot)

    def put_backlog(self, backlog: BacklogRow) -> None:
        self._db.execute(_put("backlogs", BacklogRow), backlog)

    def put_node(self, node: NodeRow) -> None:
        self._db.execute(_put("nodes", NodeRow), node)


def _slot(row: Any) -> SlotRow:
    values = list(row)
    for index in _FLAGS:
        values[index] = bool(values[index])
    return SlotRow(*values)
