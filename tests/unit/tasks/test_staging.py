"""Shared memory that becomes a blob: whatever the client says twice, and whatever it leaves out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import trio

from respoold.io import blobs
from respoold.tasks import staging
from respoold.tasks.staging import Staging

DATA = os.urandom(1 << 20)


def memory(data: bytes) -> int:
    fd = os.memfd_create("staged")
    os.write(fd, data)
    return fd


def granted(directory: Path) -> str:
    """An attempt's folder with an empty blob `t`."""
    (directory / "blobs").mkdir()
    os.close(blobs.create(str(directory), "t"))
    return str(directory)


def content(directory: str) -> bytes:
    return Path(blobs.path_of(directory, "t")).read_bytes()


async def test_what_is_under_way_or_there_already_is_taken_again_and_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, copies = granted(tmp_path), list[int]()
    copy = staging._copy
    monkeypatch.setattr(staging, "_copy", lambda *args: (copies.append(1), copy(*args)))
    async with trio.open_nursery() as nursery:
        held = Staging(nursery, lambda: None)
        for _ in range(2):
            assert held.begin(directory, "t", len(DATA), memory(DATA)) is None
        assert await held.settled(directory, "t") is None
        assert held.begin(directory, "t", len(DATA), memory(DATA)) is None
        assert not held.busy(directory, "t")
    assert (content(directory), copies) == (DATA, [1])


async def test_what_a_death_cut_short_is_written_again_from_its_beginning(tmp_path: Path) -> None:
    directory = granted(tmp_path)
    Path(blobs.path_of(directory, "t")).write_bytes(DATA[:100])
    async with trio.open_nursery() as nursery:
        held = Staging(nursery, lambda: None)
        assert held.begin(directory, "t", len(DATA), memory(DATA)) is None
        assert await held.settled(directory, "t") is None
    assert content(directory) == DATA


async def test_memory_that_is_too_small_is_refused(tmp_path: Path) -> None:
    directory = granted(tmp_path)
    async with trio.open_nursery() as nursery:
        held = Staging(nursery, lambda: None)
        assert "has 3 bytes, 4 were announced" in str(held.begin(directory, "t", 4, memory(b"abc")))


async def test_what_cannot_be_written_leaves_its_room_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(staging.os, "fdatasync", full)
    directory = granted(tmp_path)
    async with trio.open_nursery() as nursery:
        held = Staging(nursery, lambda: None)
        assert held.begin(directory, "t", len(DATA), memory(DATA)) is None
        assert "No space left" in str(await held.settled(directory, "t"))
    assert content(directory) == b""
