"""What every set of queries stands on: one SQLite connection."""

from __future__ import annotations

import sqlite3
from typing import Any


class Connected:
    """Runs statements. Closes its connection when it `owns` it."""

    def __init__(self, connection: sqlite3.Connection, *, owns: bool = False) -> None:
        self._db = connection
        self._owns = owns

    def _one(self, sql: str, *values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()

    def _all(self, sql: str, *values: Any) -> list[Any]:
        return self._db.execute(sql, values).fetchall()
