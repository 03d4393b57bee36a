"""Who may delete a folder that several read: the last one."""

from pathlib import Path

from respoold.io.lease import Lease


def test_one_of_two_readers_is_not_alone_until_the_other_is_done(tmp_path: Path) -> None:
    first, second = Lease(str(tmp_path)), Lease(str(tmp_path))
    assert not first.alone()
    assert not second.alone()
    second.close()
    assert first.alone()
    first.close()


def test_asking_in_vain_does_not_cost_the_hold(tmp_path: Path) -> None:
    first, second = Lease(str(tmp_path)), Lease(str(tmp_path))
    assert not first.alone()
    assert not second.alone()
    first.close()
    second.close()


def test_a_folder_that_is_gone_has_no_other_reader(tmp_path: Path) -> None:
    lease = Lease(str(tmp_path / "gone"))
    assert lease.alone()
    lease.close()
    lease.close()
