import pytest

from respool_hub.store.ports import StoreError, StoreFullError
from unit.hub.kit import Desk, name, rows

A = name(1)


def test_a_full_disk_keeps_nothing_of_the_batch_and_takes_it_when_there_is_room(desk):
    desk.attach(A)
    desk.append(A, 0, rows(0, range(10)))
    connection = desk.hub.store._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFullError):
        desk.append(A, 10, rows(10, range(10, 60_000)))
    assert desk.show()["rows"] == 10
    connection.execute("PRAGMA max_page_count = 1000000")
    assert desk.append(A, 10, rows(10, range(10, 60_000))).appended.next_seq == 60_000
    assert len(desk.lines()) == 60_000


def test_after_a_failed_sync_nothing_is_written_until_a_restart(tmp_path):
    desk = Desk(tmp_path / "data")
    desk.attach(A)
    desk.hub.store._broken = "the database's disk failed (I/O error); restart the hub"
    with pytest.raises(StoreError, match="restart the hub"):
        desk.append(A, 0, rows(0, range(10)))
    assert desk.show()["rows"] == 0
    desk.close()
