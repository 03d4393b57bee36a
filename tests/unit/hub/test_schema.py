import sqlite3

import pytest

from respool_hub.config import ConfigError
from respool_hub.store.schema import MIGRATIONS, migrate, version_of
from respool_hub.store.sqlite import SqliteStore


@pytest.fixture
def database():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def tables(connection):
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_an_empty_database_becomes_the_newest_version_and_migrating_again_changes_nothing(database):
    migrate(database)
    identity = database.execute("SELECT value FROM hub").fetchall()
    migrate(database)
    assert version_of(database) == len(MIGRATIONS)
    assert database.execute("SELECT value FROM hub").fetchall() == identity
    assert {"runs", "attempts", "writers", "batches", "files", "keys"} <= tables(database)


def test_version_1_keeps_its_data_when_a_step_is_added(database):
    migrate(database, MIGRATIONS[:1])
    database.execute("INSERT INTO keys VALUES ('k', x'00', 'anna', 'read', NULL, 'n', 1.0, NULL)")
    migrate(database, (*MIGRATIONS[:1], "ALTER TABLE keys ADD COLUMN more TEXT;\nCREATE TABLE extra (x);\n"))
    assert version_of(database) == 2
    assert database.execute("SELECT user, more FROM keys").fetchall() == [("anna", None)]


def test_a_step_that_fails_leaves_the_version_before_it_whole(database):
    migrate(database, MIGRATIONS[:1])
    with pytest.raises(sqlite3.Error):
        migrate(database, (*MIGRATIONS[:1], "CREATE TABLE extra (x);\nNONSENSE;\n"))
    assert version_of(database) == 1
    assert "extra" not in tables(database)


def test_a_newer_database_is_refused_and_left_alone(tmp_path):
    path = str(tmp_path / "hub.sqlite")
    SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(ConfigError, match="version 99"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "hub.sqlite"
    path.write_bytes(b"no database at all, but long enough to be looked at as if it were one" * 20)
    with pytest.raises(ConfigError, match=r"hub\.sqlite"):
        SqliteStore(str(path))
