"""A disk that fails to sync: never asked again for the same file, and nothing is called durable that is not."""

import errno
import os

import pytest

from respool.wire.segment import DATA, segment_name
from respoold.io.reader import Reader
from unit.io.spools import a_folder, a_row, an_attempt, read
from unit.io.test_reader import Writer, look_all


class Disk:
    """fdatasync with a knob: which files it fails for. Counts how often each was asked for."""

    def __init__(self) -> None:
        self.failing: set[int] = set()
        self.asked: list[int] = []

    def fail(self, fd: int) -> None:
        self.failing.add(os.fstat(fd).st_ino)

    def fdatasync(self, fd: int) -> None:
        inode = os.fstat(fd).st_ino
        self.asked.append(inode)
        if inode in self.failing:
            # As the kernel does: the error is told once, then the pages count as clean.
            self.failing.discard(inode)
            raise OSError(errno.EIO, "Input/output error")


def a_reader(folder: str, disk: Disk) -> tuple[Reader, Writer]:
    reader, writer = Reader(an_attempt(folder), 0, own=True, fdatasync=disk.fdatasync), Writer(folder)
    reader.keep(0, writer.roll())
    return reader, writer


def test_a_segment_that_failed_once_is_never_synced_again() -> None:
    with a_folder() as folder:
        disk = Disk()
        reader, writer = a_reader(folder, disk)
        writer.log(2)
        look_all(reader)
        disk.fail(writer.fd)
        with pytest.raises(OSError, match="Input/output error"):
            reader.sync()
        writer.log(2)
        assert look_all(reader) == [2, 3]
        assert [reader.sync() for _ in range(3)] == [0, 0, 0]
        assert len(disk.asked) == 1
        assert not reader.dirty
        reader.close()


def test_when_its_writer_has_left_it_its_records_go_to_a_new_file_and_are_durable_then() -> None:
    with a_folder() as folder:
        disk = Disk()
        reader, writer = a_reader(folder, disk)
        suspect = os.fstat(writer.fd).st_ino
        writer.log(3)
        look_all(reader)
        disk.fail(writer.fd)
        with pytest.raises(OSError, match="Input/output error"):
            reader.sync()
        writer.log(1)
        reader.keep(1, writer.roll())
        writer.log(2)
        assert look_all(reader) == [3, 4, 5]
        assert reader.dirty
        assert reader.sync() == 6
        healed = os.stat(os.path.join(folder, segment_name(0, 0)))
        assert healed.st_ino != suspect
        assert healed.st_size == DATA + len(b"".join(map(a_row, range(4))))
        assert reader.read(reader.attempt.pending(0)) == b"".join(map(a_row, range(6)))
        reader.close()
        assert [frame.seq for frame in read(folder).frames] == list(range(6))


def test_a_segment_that_fails_only_after_its_writer_left_it_is_healed_in_the_same_turn() -> None:
    with a_folder() as folder:
        disk = Disk()
        reader, writer = a_reader(folder, disk)
        writer.log(2)
        disk.fail(writer.fd)
        before = os.fstat(writer.fd).st_ino
        reader.keep(1, writer.roll())
        writer.log(1)
        look_all(reader)
        assert reader.sync() == 3
        assert os.stat(os.path.join(folder, segment_name(0, 0))).st_ino != before
        reader.close()


def test_a_file_that_cannot_be_written_anew_stays_and_nothing_is_called_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with a_folder() as folder:
        disk = Disk()
        reader, writer = a_reader(folder, disk)
        writer.log(2)
        disk.fail(writer.fd)
        reader.keep(1, writer.roll())
        writer.log(1)
        look_all(reader)
        with monkeypatch.context() as patch:
            patch.setattr("respoold.io.files.write_bytes", full)
            for _ in range(2):
                with pytest.raises(OSError, match="No space left"):
                    reader.sync()
        assert reader.durable_seq == 0
        assert len(disk.asked) == 1
        assert reader.sync() == 3
        reader.close()


def test_who_is_let_go_amid_a_sync_is_closed_by_it_and_not_under_it() -> None:
    with a_folder() as folder:
        disk = Disk()
        reader, writer = a_reader(folder, disk)
        writer.log(2)
        look_all(reader)
        real = disk.fdatasync

        def let_go(fd: int) -> None:
            reader.close()
            real(fd)  # EBADF if it was closed

        reader._fdatasync = let_go
        assert reader.sync() == 2
        assert reader._fds == {}
        assert reader.sync() == reader.durable_seq, "nothing is opened again"
        assert reader._fds == {}
