"""SQL over checkpoints, their parts, and the manifests of whatever came in chunks."""

# ruff: noqa: S608 - the pieces are this module's own constants

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from respool.wire import codec
from respool_hub.store.connected import Connected
from respool_hub.store.packing import pack_map
from respool_hub.store.rows import CheckpointRow, ManifestRow, PartRow

_CHECKPOINT = ", ".join(CheckpointRow._fields)
_PART = ", ".join(PartRow._fields)
_MANIFEST = ", ".join(ManifestRow._fields)


def _insert(table: str, cls: Any) -> str:
    marks = ", ".join("?" * len(cls._fields))
    return f"INSERT OR IGNORE INTO {table} ({', '.join(cls._fields)}) VALUES ({marks})"


_INSERT_CHECKPOINT = _insert("checkpoints", CheckpointRow)
_INSERT_PART = _insert("parts", PartRow)
_INSERT_MANIFEST = _insert("manifests", ManifestRow)


class CheckpointReader(Connected):
    """The part of `respool_hub.store.ports.Reader` that is about checkpoints."""

    def checkpoints(self, run: int) -> list[CheckpointRow]:
        columns = ", ".join(f"c.{name}" for name in CheckpointRow._fields)
        sql = f"SELECT {columns} FROM checkpoints c JOIN attempts a USING (attempt_id) WHERE a.run = ?"
        rows = self._db.execute(sql + " ORDER BY a.number, c.seq, c.writer", (run,))
        return [_checkpoint(row) for row in rows]

    def parts(self, run: int) -> list[PartRow]:
        columns = ", ".join(f"p.{name}" for name in PartRow._fields)
        sql = f"SELECT {columns} FROM parts p JOIN attempts a USING (attempt_id) WHERE a.run = ?"
        rows = self._db.execute(sql + " ORDER BY p.attempt_id, p.writer, p.seq, p.position", (run,))
        return [PartRow(*row) for row in rows]

    def manifest(self, digest: str) -> ManifestRow | None:
        row = self._db.execute(f"SELECT {_MANIFEST} FROM manifests WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else ManifestRow(*row)

    def has_manifest(self, run: int, digest: str) -> bool:
        """Whether a file, or a part of a checkpoint that was not dropped, of this run is that manifest."""
        sql = """SELECT 1 FROM files f JOIN attempts a USING (attempt_id) WHERE a.run = ? AND f.digest = ?
            UNION ALL SELECT 1 FROM parts p JOIN attempts a USING (attempt_id)
            JOIN checkpoints c USING (attempt_id, writer, seq)
            WHERE a.run = ? AND p.digest = ? AND NOT c.dropped LIMIT 1"""
        return self._db.execute(sql, (run, digest, run, digest)).fetchone() is not None

    def held(self, entity: str, project: str) -> int:
        """Bytes of a project's files and of its checkpoints that were not dropped, each content once."""
        where = "JOIN attempts a USING (attempt_id) JOIN runs r ON r.id = a.run WHERE r.entity = ? AND r.project = ?"
        sql = f"""SELECT COALESCE(SUM(size), 0) FROM (SELECT f.digest, f.size FROM files f {where}
            UNION SELECT p.digest, p.size FROM parts p JOIN checkpoints c USING (attempt_id, writer, seq) {where}
            AND NOT c.dropped)"""
        return int(self._db.execute(sql, (entity, project, entity, project)).fetchone()[0])

    def wanted(self) -> Iterator[str]:
        """The digests of the files, parts and chunks that anything visible needs; some more than once."""
        yield from (row[0] for row in self._db.execute("SELECT DISTINCT digest FROM files"))
        sql = f"""SELECT {_MANIFEST} FROM manifests WHERE digest IN (SELECT digest FROM files UNION
            SELECT digest FROM parts JOIN checkpoints USING (attempt_id, writer, seq) WHERE NOT dropped)"""
        for row in self._db.execute(sql):
            digests = ManifestRow(*row).digests
            yield from (digests[at : at + 32].hex() for at in range(0, len(digests), 32))


class CheckpointWriter(CheckpointReader):
    """The part of `respool_hub.store.ports.Transaction` that is about checkpoints."""

    def add_manifest(self, manifest: ManifestRow) -> None:
        self._db.execute(_INSERT_MANIFEST, manifest)

    def add_checkpoint(self, checkpoint: CheckpointRow, parts: list[PartRow]) -> None:
        packed = checkpoint._replace(
            metadata=pack_map(checkpoint.metadata),  # type: ignore[arg-type]
            keep=pack_map(checkpoint.keep),  # type: ignore[arg-type]
        )
        self._db.execute(_INSERT_CHECKPOINT, packed)
        self._db.executemany(_INSERT_PART, parts)

    def mark_checkpoint(
        self, attempt_id: str, name: str, step: int, *, dropped: bool | None, pinned: bool | None
    ) -> int:
        """Change all shares of a checkpoint; how many there were. None leaves a mark as it is."""
        marks = {"dropped": dropped, "pinned": pinned}
        given = {column: value for column, value in marks.items() if value is not None}
        changes = ", ".join(f"{column} = ?" for column in given)
        sql = f"UPDATE checkpoints SET {changes} WHERE attempt_id = ? AND name = ? AND step = ?"
        return self._db.execute(sql, (*given.values(), attempt_id, name, step)).rowcount

    def drop_manifests(self) -> int:
        """Forget manifests that nothing names any more; how many."""
        sql = """DELETE FROM manifests WHERE digest NOT IN (SELECT digest FROM files) AND digest NOT IN
            (SELECT digest FROM parts JOIN checkpoints USING (attempt_id, writer, seq) WHERE NOT dropped)"""
        return self._db.execute(sql).rowcount


def _checkpoint(row: Any) -> CheckpointRow:
    found = CheckpointRow(*row)
    metadata, keep = (codec.unpack_map(row[CheckpointRow._fields.index(one)]) for one in ("metadata", "keep"))
    pinned, dropped = bool(found.pinned), bool(found.dropped)
    return found._replace(metadata=metadata, keep=keep, pinned=pinned, dropped=dropped)
