"""The tables of the embedded store, and how an older one becomes a newer one.

Invariants:
- `schema_version` holds one row; a step and its version number are committed together;
- a version once released is never edited, a change is a further step;
- a database of a newer version is refused untouched.
"""

from __future__ import annotations

import secrets
import sqlite3

from respool_hub.config import ConfigError

VERSION_1 = """
CREATE TABLE hub (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, user TEXT NOT NULL, scope TEXT NOT NULL,
    project TEXT, name TEXT NOT NULL, created_at REAL NOT NULL, revoked_at REAL
);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, entity TEXT NOT NULL, project TEXT NOT NULL, run_id TEXT NOT NULL,
    original_id TEXT NOT NULL, owner TEXT NOT NULL, meta BLOB NOT NULL, head TEXT,
    created_at REAL NOT NULL, active_at REAL NOT NULL, alias_of TEXT,
    UNIQUE (entity, project, run_id)
);
CREATE INDEX runs_active ON runs (active_at DESC);
CREATE TABLE attempts (
    attempt_id TEXT PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs (id), number INTEGER NOT NULL,
    parent TEXT, parent_known INTEGER NOT NULL, resume TEXT NOT NULL, launch TEXT NOT NULL,
    restart_count INTEGER NOT NULL, node TEXT NOT NULL, pid INTEGER NOT NULL, offline INTEGER NOT NULL,
    attended INTEGER NOT NULL, started_at REAL NOT NULL, registered_at REAL NOT NULL, heartbeat_at REAL,
    pending_records INTEGER NOT NULL, pending_bytes INTEGER NOT NULL, alive INTEGER NOT NULL,
    marked INTEGER NOT NULL, ended INTEGER NOT NULL, exit_code INTEGER, gone INTEGER NOT NULL, ended_at REAL,
    claimed INTEGER NOT NULL, branch INTEGER NOT NULL, was_head INTEGER NOT NULL, superseded INTEGER NOT NULL,
    UNIQUE (run, number)
);
CREATE TABLE writers (
    attempt_id TEXT NOT NULL REFERENCES attempts (attempt_id), writer INTEGER NOT NULL,
    next_seq INTEGER NOT NULL, rows INTEGER NOT NULL, lost INTEGER NOT NULL, last_step INTEGER NOT NULL,
    step_1 INTEGER, step_2 INTEGER, cut INTEGER, first_time REAL, view BLOB NOT NULL,
    PRIMARY KEY (attempt_id, writer)
);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, attempt_id TEXT NOT NULL REFERENCES attempts (attempt_id),
    writer INTEGER NOT NULL, first_seq INTEGER NOT NULL, next_seq INTEGER NOT NULL, rows INTEGER NOT NULL,
    min_step INTEGER NOT NULL, max_step INTEGER NOT NULL, min_time REAL, max_time REAL,
    codec TEXT NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX batches_order ON batches
    (attempt_id, writer, first_seq, next_seq, rows, min_step, max_step);
CREATE TABLE files (
    attempt_id TEXT NOT NULL REFERENCES attempts (attempt_id), writer INTEGER NOT NULL, seq INTEGER NOT NULL,
    name TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, step INTEGER, time REAL NOT NULL,
    metadata BLOB NOT NULL, PRIMARY KEY (attempt_id, writer, seq, name)
);
"""

CHECKPOINTS = """
CREATE TABLE manifests (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, digests BLOB NOT NULL, sizes BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE checkpoints (
    attempt_id TEXT NOT NULL REFERENCES attempts (attempt_id), writer INTEGER NOT NULL, seq INTEGER NOT NULL,
    name TEXT NOT NULL, step INTEGER NOT NULL, rank INTEGER NOT NULL, world INTEGER NOT NULL, time REAL NOT NULL,
    metadata BLOB NOT NULL, keep BLOB NOT NULL, score REAL, pinned INTEGER NOT NULL, dropped INTEGER NOT NULL,
    logged INTEGER, PRIMARY KEY (attempt_id, writer, seq)
);
CREATE TABLE parts (
    attempt_id TEXT NOT NULL, writer INTEGER NOT NULL, seq INTEGER NOT NULL, position INTEGER NOT NULL,
    name TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (attempt_id, writer, seq, position)
);
"""

PEOPLE = """
ALTER TABLE keys ADD COLUMN expires_at REAL;
ALTER TABLE keys ADD COLUMN used_at REAL;
CREATE TABLE teams (name TEXT PRIMARY KEY, created_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE members (
    team TEXT NOT NULL REFERENCES teams (name), user TEXT NOT NULL, PRIMARY KEY (team, user)
) WITHOUT ROWID;
CREATE INDEX members_user ON members (user);
CREATE TABLE graves (
    attempt_id TEXT PRIMARY KEY, run TEXT NOT NULL, owner TEXT NOT NULL, deleted_by TEXT NOT NULL,
    deleted_at REAL NOT NULL
) WITHOUT ROWID;
"""

SLOTS = """
ALTER TABLE attempts ADD COLUMN identity TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN explicit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN noticed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN deadline REAL NOT NULL DEFAULT 0;
CREATE TABLE slots (
    attempt_id TEXT NOT NULL, writer INTEGER NOT NULL, incarnation TEXT NOT NULL, node TEXT NOT NULL,
    pid INTEGER NOT NULL, joined INTEGER NOT NULL, alive INTEGER NOT NULL, ended INTEGER NOT NULL,
    exit_code INTEGER, explicit INTEGER NOT NULL, gone INTEGER NOT NULL, PRIMARY KEY (attempt_id, writer)
) WITHOUT ROWID;
CREATE INDEX slots_incarnation ON slots (incarnation);
INSERT INTO slots SELECT attempt_id, 0, '', node, pid, 0, alive, ended, exit_code, 0, gone FROM attempts;
CREATE TABLE backlogs (
    attempt_id TEXT NOT NULL, node TEXT NOT NULL, heartbeat_at REAL NOT NULL, pending_records INTEGER NOT NULL,
    pending_bytes INTEGER NOT NULL, pending_files INTEGER NOT NULL, pending_file_bytes INTEGER NOT NULL,
    oldest REAL, why TEXT NOT NULL, PRIMARY KEY (attempt_id, node)
) WITHOUT ROWID;
CREATE TABLE nodes (
    node TEXT NOT NULL, user TEXT NOT NULL, daemon TEXT NOT NULL, heartbeat_at REAL NOT NULL,
    PRIMARY KEY (node, user)
) WITHOUT ROWID;
"""

ORDERS = """
ALTER TABLE attempts ADD COLUMN ordered INTEGER;
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs (id), what TEXT NOT NULL,
    attempt_id TEXT NOT NULL, parent TEXT, step INTEGER, before BLOB NOT NULL, by TEXT NOT NULL, at REAL NOT NULL,
    undone INTEGER NOT NULL
);
CREATE INDEX orders_run ON orders (run);
"""

SWEEPS = """
CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY, entity TEXT NOT NULL, project TEXT NOT NULL, sweep_id TEXT NOT NULL, owner TEXT NOT NULL,
    config BLOB NOT NULL, state TEXT NOT NULL, seed INTEGER NOT NULL, max_requeues INTEGER NOT NULL,
    created_at REAL NOT NULL, UNIQUE (entity, project, sweep_id)
);
CREATE TABLE assignments (
    sweep INTEGER NOT NULL REFERENCES sweeps (id), number INTEGER NOT NULL, run_id TEXT NOT NULL, point BLOB NOT NULL,
    parameters BLOB NOT NULL, state TEXT NOT NULL, lease TEXT NOT NULL, agent TEXT NOT NULL,
    attempts INTEGER NOT NULL, requeues INTEGER NOT NULL, reported INTEGER, stopped INTEGER NOT NULL,
    outcome TEXT NOT NULL, value REAL, marks BLOB NOT NULL, PRIMARY KEY (sweep, number)
) WITHOUT ROWID;
CREATE INDEX assignments_state ON assignments (sweep, state);
"""

REPEATS = """
ALTER TABLE checkpoints ADD COLUMN repeat INTEGER NOT NULL DEFAULT 0;
"""

SHIFTS = """
ALTER TABLE attempts ADD COLUMN believed TEXT;
ALTER TABLE attempts ADD COLUMN base INTEGER NOT NULL DEFAULT 0;
UPDATE attempts SET believed = parent;
ALTER TABLE writers ADD COLUMN named INTEGER NOT NULL DEFAULT 1;
"""

MIGRATIONS: tuple[str, ...] = (
    VERSION_1,
    CHECKPOINTS,
    PEOPLE,
    SLOTS,
    ORDERS,
    SWEEPS,
    REPEATS,
    SHIFTS,
)
"""The step to version n is at index n - 1."""


def migrate(connection: sqlite3.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring the database to the newest version. Raises ConfigError for one that is newer than this release."""
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
    found = version_of(connection)
    if found > len(migrations):
        raise ConfigError(
            f"the hub's database has version {found}, this release knows {len(migrations)}. "
            "Use the newer release that wrote it."
        )
    for number in range(found, len(migrations)):
        _step(connection, migrations[number], number + 1)


def version_of(connection: sqlite3.Connection) -> int:
    """0 for an empty database."""
    row = connection.execute("SELECT version FROM schema_version").fetchone()
    return int(row[0]) if row else 0


def _step(connection: sqlite3.Connection, script: str, version: int) -> None:
    # executescript() would commit before it begins; statement by statement stays in one transaction.
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("DELETE FROM schema_version")
        connection.execute("INSERT INTO schema_version VALUES (?)", (version,))
        if version == 1:
            connection.execute("INSERT INTO hub VALUES ('incarnation', ?)", (secrets.token_hex(16),))
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
