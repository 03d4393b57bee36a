"""Without a daemon the shim keeps the caps itself: rows are dropped by count, files refused, and room is noticed."""

from __future__ import annotations

import os
import shutil

import pytest

import respool
from fakes.daemon import frames_in
from respool import local_quota, local_spool
from respool.wire.frames import Kind


@pytest.fixture
def small(monkeypatch):
    """Segments of 256 KiB, six of which are allowed."""
    monkeypatch.setattr("respool.local_spool.SEGMENT_SIZE", 256 << 10)
    monkeypatch.setenv("RESPOOL_ROWS_QUOTA", "1536K")


def test_rows_beyond_the_quota_are_counted_and_room_is_noticed(small, spool, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(local_spool, "monotonic", lambda: clock[0])
    os.makedirs(os.path.join(spool, "older"))
    with open(os.path.join(spool, "older", "w0-000000.seg"), "wb") as file:
        file.write(b"x" * (700 << 10))
    run = respool.init(project="p", id="r", mode="spool")
    for number in range(100):
        run.log({"n": number, "x": "x" * 20_000})
    directory = run._keeper.attached.directory
    held = sum(
        os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory) if ".seg" in name
    )
    assert held <= 1536 << 10
    assert "the quota for rows is used up" in capsys.readouterr().err
    shutil.rmtree(os.path.join(spool, "older"))
    run.log({"n": 100, "x": "x" * 20_000})
    clock[0] += 2.0
    run.log({"n": 101, "x": "x" * 20_000})
    run.finish()
    frames = frames_in(directory)
    rows = [frame for frame in frames if frame.kind == Kind.ROW]
    lost = sum(frame.span for frame in frames if frame.kind == Kind.LOSS)
    assert rows[-1].step == 101
    assert len(rows) + lost == 102
    assert lost > 0


def test_a_spool_that_is_full_from_the_start_says_so(small, spool, capsys):
    os.makedirs(os.path.join(spool, "older"))
    with open(os.path.join(spool, "older", "w0-000000.seg"), "wb") as file:
        file.write(b"x" * (2 << 20))
    respool.init(project="p", id="r", mode="spool")
    said = capsys.readouterr().err
    assert f"the quota for rows is used up: {spool} holds 2 MiB of 2 MiB; `respool sync` makes room" in said


def test_a_file_beyond_the_quota_is_refused(spool, monkeypatch, capsys):
    monkeypatch.setenv("RESPOOL_BLOBS_QUOTA", "1M")
    run = respool.init(project="p", id="r", mode="spool")
    for name, size in (("small", 300 << 10), ("large", 900 << 10)):
        with open(name, "wb") as file:
            file.write(b"x" * size)
    assert run.save("small")
    assert run.save("large") is False
    assert "MiB of the 1 MiB allowed; 1 MiB are missing; `respool sync` makes room" in capsys.readouterr().err


class Disk:
    """What statvfs(3) says of a disk of 1 TiB, `free` a share of it."""

    f_frsize, f_blocks = 4096, 1 << 28

    def __init__(self, free):
        self.f_bavail = int(self.f_blocks * free)


@pytest.mark.parametrize(("floor", "free"), [(None, 0.10), ("0.2", 0.20), ("5%", 0.05)])
def test_files_stop_where_the_disk_has_its_floor_left_and_rows_at_half_of_it(
    spool, monkeypatch, capsys, floor, free
):
    monkeypatch.delenv("RESPOOL_FREE_FLOOR")
    if floor is not None:
        monkeypatch.setenv("RESPOOL_FREE_FLOOR", floor)
    os.makedirs(spool)
    kept = local_spool.LocalSpool(spool, "a" * 32)
    said = []
    for share in (1.01, 0.99, 0.51, 0.49):
        disk = Disk(free * share)
        monkeypatch.setattr(os, "statvfs", lambda path, disk=disk: disk)
        opened = kept.take(len(said) + 1)
        if opened is not None:
            os.close(opened.fd)
        local_spool.warn_when_scarce(spool)
        warned = f"less than {50 * free:g}% of the disk" in capsys.readouterr().err
        said.append((local_quota.refuse_blob(spool, 1) is None, opened is not None, warned))
    assert said == [(True, True, False), (False, True, False), (False, True, False), (False, False, True)]
    assert f"must keep {100 * free:g}% free, and has" in str(local_quota.refuse_blob(spool, 1))
