"""SQL of keys and teams, and of what the hub keeps about itself."""

# ruff: noqa: S608 - the pieces are this module's own constants

from __future__ import annotations

from respool_hub.store.connected import Connected
from respool_hub.store.rows import KeyRow, TeamRow

_KEY = ", ".join(KeyRow._fields)
_INSERT_KEY = f"INSERT INTO keys ({_KEY}) VALUES ({', '.join('?' * len(KeyRow._fields))})"
_NOT_REVOKED = "key_id = ? AND revoked_at IS NULL"


class PeopleReader(Connected):
    """See `respool_hub.store.ports.Reader`."""

    def setting(self, name: str) -> str | None:
        row = self._one("SELECT value FROM hub WHERE name = ?", name)
        return row and str(row[0])

    def key(self, digest: bytes) -> KeyRow | None:
        row = self._one(f"SELECT {_KEY} FROM keys WHERE digest = ?", digest)
        return row and KeyRow(*row)

    def key_of(self, key_id: str) -> KeyRow | None:
        row = self._one(f"SELECT {_KEY} FROM keys WHERE key_id = ?", key_id)
        return row and KeyRow(*row)

    def keys(self, user: str | None) -> list[KeyRow]:
        where = "" if user is None else "WHERE user = ?"
        sql = f"SELECT {_KEY} FROM keys {where} ORDER BY created_at, key_id"
        return [KeyRow(*row) for row in self._all(sql, *([] if user is None else [user]))]

    def team(self, name: str) -> TeamRow | None:
        row = self._one("SELECT name, created_at FROM teams WHERE name = ?", name)
        return row and TeamRow(row[0], self._members(row[0]), row[1])

    def teams(self, user: str | None) -> list[TeamRow]:
        where = "" if user is None else "WHERE name IN (SELECT team FROM members WHERE user = ?)"
        sql = f"SELECT name, created_at FROM teams {where} ORDER BY name"
        found = self._all(sql, *([] if user is None else [user]))
        return [TeamRow(name, self._members(name), at) for name, at in found]

    def is_member(self, team: str, user: str) -> bool:
        return self._one("SELECT 1 FROM members WHERE team = ? AND user = ?", team, user) is not None

    def is_user(self, name: str) -> bool:
        if self._one("SELECT 1 FROM keys WHERE user = ?", name) is not None:
            return True
        runs = self._one("SELECT 1 FROM runs WHERE entity = ?", name)
        return runs is not None and self.team(name) is None

    def _members(self, team: str) -> tuple[str, ...]:
        rows = self._all("SELECT user FROM members WHERE team = ? ORDER BY user", team)
        return tuple(row[0] for row in rows)


class PeopleTransaction(PeopleReader):
    """See `respool_hub.store.ports.Transaction`."""

    def put_setting(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO hub VALUES (?, ?)", (name, value))

    def add_key(self, key: KeyRow) -> None:
        self._db.execute(_INSERT_KEY, key)

    def revoke_key(self, key_id: str, at: float) -> bool:
        sql = f"UPDATE keys SET revoked_at = ? WHERE {_NOT_REVOKED}"
        return self._db.execute(sql, (at, key_id)).rowcount > 0

    def touch_key(self, key_id: str, at: float) -> None:
        self._db.execute("UPDATE keys SET used_at = ? WHERE key_id = ?", (at, key_id))

    def put_team(self, team: TeamRow) -> None:
        self._db.execute("INSERT OR IGNORE INTO teams VALUES (?, ?)", (team.name, team.created_at))
        self._db.execute("DELETE FROM members WHERE team = ?", (team.name,))
        rows = [(team.name, member) for member in team.members]
        self._db.executemany("INSERT OR IGNORE INTO members VALUES (?, ?)", rows)

    def drop_team(self, name: str) -> None:
        self._db.execute("DELETE FROM members WHERE team = ?", (name,))
        self._db.execute("DELETE FROM teams WHERE name = ?", (name,))
