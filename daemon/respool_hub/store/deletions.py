"""SQL of deleting runs: out of sight at once, erased bit by bit."""

# ruff: noqa: S608 - the pieces are names of tables and columns out of the schema

from __future__ import annotations

from respool_hub.store.connected import Connected
from respool_hub.store.rows import NOBODY, GraveRow, RunRow

_OF_RUN = "attempt_id IN (SELECT attempt_id FROM attempts WHERE run = ?)"
_KEPT = frozenset({"runs", "attempts", "graves"})


class DeletionReader(Connected):
    """See `respool_hub.store.ports.Reader`."""

    def grave(self, attempt_id: str) -> GraveRow | None:
        row = self._one(f"SELECT {', '.join(GraveRow._fields)} FROM graves WHERE attempt_id = ?", attempt_id)
        return row and GraveRow(*row)


class DeletionTransaction(DeletionReader):
    """See `respool_hub.store.ports.Transaction`."""

    def bury(self, run: RunRow, by: str, at: float) -> None:
        path = f"{run.entity}/{run.project}/{run.run_id}"
        graves = "INSERT OR REPLACE INTO graves SELECT attempt_id, ?, ?, ?, ? FROM attempts WHERE run = ?"
        self._db.execute(graves, (path, run.owner, by, at, run.id))
        # Names must be unique among the buried too; numbers are.
        sql = "UPDATE runs SET entity = ?, project = ?, alias_of = NULL WHERE id = ?"
        self._db.execute(sql, (NOBODY, str(run.id), run.id))

    def erase_some(self, batches: int) -> bool:
        row = self._one("SELECT id FROM runs WHERE entity = ? LIMIT 1", NOBODY)
        if row is None:
            return False
        some = f"SELECT id FROM batches WHERE {_OF_RUN} LIMIT ?"
        if not self._db.execute(f"DELETE FROM batches WHERE id IN ({some})", (row[0], batches)).rowcount:
            self._erase(row[0])
        return True

    def _erase(self, run: int) -> None:
        """Everything of a run. Which tables have something of it is read from the schema, so that one that is added
        later cannot be forgotten here; the youngest come first, for they refer to older ones.
        """
        tables = self._all("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid DESC")
        for (table,) in tables:
            columns = {column[1] for column in self._all(f"PRAGMA table_info({table})")}
            if "attempt_id" in columns and table not in _KEPT:
                self._db.execute(f"DELETE FROM {table} WHERE {_OF_RUN}", (run,))
            elif "run" in columns and table not in _KEPT:
                self._db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
        self._db.execute("DELETE FROM attempts WHERE run = ?", (run,))
        self._db.execute("DELETE FROM runs WHERE id = ?", (run,))
