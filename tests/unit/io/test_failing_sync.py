"""A disk that fails to sync (design 5.5): never retried on the same file, and no record lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from respool.wire import codec
from respool.wire.attempt import AttemptFile, Request
from respool.wire.frames import Frame, Kind, encode, walk
from respool.wire.segment import DATA
from respoold.core.attempt import Attempt
from respoold.io import disk
from respoold.io.reader import Reader

ATTEMPT = "a" * 32


class Disk:
    """fdatasync with a knob: descriptors whose file is in `bad` fail once, and then lie, as kernels do."""

    def __init__(self) -> None:
        self.bad: set[int] = set()
        self.synced: list[int] = []

    def fdatasync(self, fd: int) -> None:
        inode = os.fstat(fd).st_ino
        if inode in self.bad:
            raise OSError(errno.EIO, "Input/output error")
        self.synced.append(inode)


class Spool:
    """One writer with two segments, read by a Reader on a disk that can fail."""

    def __init__(self, directory: Path) -> None:
        self.disk = Disk()
        request = Request("p", "r", "r", "incarnation")
        file = AttemptFile(ATTEMPT, request._asdict(), os.getuid())
        self.directory = str(directory / ATTEMPT)
        disk.create_attempt(self.directory, file)
        self.fds = [disk.create_segment(self.directory, ATTEMPT, 0, index, 1 << 20) for index in (0, 1)]
        self.at = [DATA, DATA]
        self.seq = 0
        self.reader = Reader(Attempt(file, self.directory), 0, own=True, fdatasync=self.disk.fdatasync)

    def log(self, segment: int, count: int) -> None:
        for _ in range(count):
            frame = encode(Kind.ROW, codec.pack({"x": self.seq}), seq=self.seq, step=self.seq)
            os.pwrite(self.fds[segment], frame, self.at[segment])
            self.at[segment] += len(frame)
            self.seq += 1

    def read(self) -> list[Frame]:
        frames: list[Frame] = []
        while True:
            look = self.reader.look(0.0)
            frames += look.frames
            if not look.more:
                return frames

    def on_disk(self, segment: int) -> list[int]:
        with open(os.path.join(self.directory, f"w0-{segment:06d}.seg"), "rb") as file:
            return [frame.seq for frame in walk(file.read()[DATA:]).frames]

    def inode(self, segment: int) -> int:
        return os.stat(os.path.join(self.directory, f"w0-{segment:06d}.seg")).st_ino


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def test_a_failed_sync_is_not_repeated_on_the_same_file(spool: Spool) -> None:
    spool.log(0, 10)
    spool.read()
    spool.disk.bad.add(spool.inode(0))
    with pytest.raises(OSError, match="Input/output"):
        spool.reader.sync()
    spool.disk.bad.clear()  # the kernel would now report success for pages it dropped
    assert spool.reader.sync() == 0
    assert spool.disk.synced == []
    assert not spool.reader.dirty


def test_records_of_a_suspect_segment_move_to_a_new_file_once_the_writer_rolled(spool: Spool) -> None:
    old = spool.inode(0)
    spool.log(0, 10)
    spool.read()
    spool.disk.bad.add(old)
    with pytest.raises(OSError, match="Input/output"):
        spool.reader.sync()
    spool.log(0, 5)
    spool.log(1, 5)
    assert [frame.seq for frame in spool.read()] == list(range(10, 20))
    assert spool.reader.dirty
    assert spool.reader.sync() == 20
    assert spool.inode(0) != old
    assert spool.on_disk(0) == list(range(15))
    assert spool.on_disk(1) == list(range(15, 20))


def test_records_that_failed_to_sync_still_go_to_the_hub_unchanged(spool: Spool) -> None:
    spool.log(0, 10)
    spool.read()
    spool.disk.bad.add(spool.inode(0))
    with pytest.raises(OSError, match="Input/output"):
        spool.reader.sync()
    extents = spool.reader.choose(1 << 20)
    assert [frame.seq for frame in walk(spool.reader.read(extents)).frames] == list(range(10))


def test_a_failure_found_only_when_the_writer_has_rolled_moves_the_records_as_well(spool: Spool) -> None:
    old = spool.inode(0)
    spool.log(0, 10)
    spool.log(1, 1)
    spool.disk.bad.add(old)
    spool.read()
    assert spool.reader.sync() == 11
    assert spool.inode(0) != old
    assert spool.on_disk(0) == list(range(10))
