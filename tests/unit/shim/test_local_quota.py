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


def test_a_disk_keeps_its_free_share(spool, monkeypatch):
    os.makedirs(spool)
    disk = os.statvfs(spool)
    assert local_quota.refuse_blob(spool, 1) is None or disk.f_bavail < disk.f_blocks / 10
    assert "must keep 10% free" in str(local_quota.refuse_blob(spool, disk.f_blocks * disk.f_frsize))
