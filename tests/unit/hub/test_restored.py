"""A hub whose data were put back from a backup is another incarnation, and takes again what it lost."""

import shutil

import pytest

from respool_hub.config import HubConfig
from respool_hub.hub import open_hub
from respool_hub.tidemark import FILE, Tidemark
from unit.hub.kit import Desk, name, rows

A, B = name(1), name(2)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def opened(folder, **more):
    """The incarnation of a hub that is started and stopped."""
    hub = open_hub(HubConfig(str(folder), "127.0.0.1:0", **more))
    hub.close()
    return hub.incarnation


def work(folder, first_seq=0, count=5):
    desk = Desk(folder)
    desk.attach(A)
    desk.append(A, first_seq, rows(first_seq, range(first_seq, first_seq + count)))
    desk.close()


def backed_up(folder):
    kept = folder.parent / "backup"
    shutil.copytree(folder, kept)
    return kept


def test_a_restart_is_the_same_incarnation(folder):
    work(folder)
    assert len({opened(folder) for _ in range(3)}) == 1


def test_a_hub_that_was_killed_is_the_same_incarnation(folder):
    work(folder)
    first = opened(folder)
    kept = (folder / FILE).read_bytes()
    work(folder, 5)
    (folder / FILE).write_bytes(kept)  # in place, as a mark that was not brought up to date
    assert opened(folder) == first


def test_a_database_that_was_copied_back_into_its_folder_is_another(folder):
    work(folder)
    first, kept = opened(folder), backed_up(folder)
    work(folder, 5)
    with (kept / "hub.sqlite").open("rb") as old, (folder / "hub.sqlite").open("r+b") as new:
        shutil.copyfileobj(old, new)
        new.truncate()
    second = opened(folder)
    assert second != first
    assert opened(folder) == second


def test_a_folder_that_was_copied_back_whole_is_another(folder):
    work(folder)
    first, kept = opened(folder), backed_up(folder)
    folder.rename(folder.parent / "broken")
    shutil.copytree(kept, folder)
    second = opened(folder)
    assert second != first
    assert opened(folder) == second


def test_a_snapshot_of_the_disk_is_another_when_it_is_said(folder):
    work(folder)
    first = opened(folder)
    assert opened(folder, restored=True) != first


def test_a_mark_that_cannot_be_read_or_is_missing_stops_no_hub(folder):
    work(folder)
    first = opened(folder)
    (folder / FILE).write_bytes(b"\0" * 40)
    assert opened(folder) == first
    (folder / FILE).unlink()
    opened(folder)


def test_a_database_from_before_the_mark_keeps_its_incarnation(folder):
    first = opened(folder)
    desk = Desk(folder)
    desk.write(lambda tx: tx._db.execute("DELETE FROM hub WHERE name = 'folder'"))
    desk.close()
    assert opened(folder) == first


def test_a_mark_is_noted_while_the_hub_runs(folder):
    desk = Desk(folder)
    desk.attach(A)
    desk.append(A, 0, rows(0, range(5)))
    extent = desk.read(lambda reader: reader.extent())
    desk.hub.tidemark.note(extent)
    assert Tidemark(str(folder))._look()[0] == extent == (1, 1)
    desk.close()


def restored(folder, between):
    """A desk over the data as they were before `between`."""
    kept = backed_up(folder)
    desk = Desk(folder)
    before = desk.hub.incarnation
    between(desk)
    desk.close()
    shutil.rmtree(folder)
    kept.rename(folder)
    desk = Desk(folder)
    assert desk.hub.incarnation != before
    return desk


def test_rows_that_the_backup_lacks_are_asked_for_from_where_it_ends(folder):
    work(folder)
    desk = restored(folder, lambda desk: desk.append(A, 5, rows(5, range(5, 9))))
    done = desk.append(A, 9, rows(9, [9]))
    assert (done.gap, done.appended.next_seq, done.appended.incarnation) == (True, 5, desk.hub.incarnation)
    desk.append(A, 3, rows(3, range(3, 10)))
    assert len(desk.lines()) == 10
    desk.close()


def test_an_attempt_that_the_backup_lacks_is_registered_again_and_is_the_head_again(folder):
    work(folder)

    def later(desk):
        desk.report(A, "ended", exit_code=1)
        desk.attach(B)
        desk.append(B, 0, rows(0, range(3, 7)))

    desk = restored(folder, later)
    assert desk.beat(B).unknown == [B]
    desk.attach(B, offline=True, parent=A)
    desk.append(B, 0, rows(0, range(3, 7)))
    shown = desk.show()
    assert (shown["head"], shown["diverged"], len(desk.lines())) == (B, False, 7)
    desk.close()
