"""Folders that processes without a daemon left: what one keeper has noted in them, and what another makes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from respool.wire.attempt import AttemptFile
from respoold.core.attempt import Attempt, Blob, FileVersion
from respoold.core.tail import Start
from respoold.io import disk
from respoold.tasks.adopt import adopt_spool
from respoold.tasks.keeper import Keeper
from unit.io.spools import ATTEMPT_ID, REQUEST, a_spool, lay
from unit.tasks.kit import ME, FakeHub, a_keeper

RECORDS = 12


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Three segments of four records, of a process that is gone."""
    made = str(tmp_path / "theirs" / ATTEMPT_ID)
    disk.create_attempt(made, AttemptFile(ATTEMPT_ID, {**REQUEST, "node": disk.node_name()}, ME))
    lay(made, a_spool([[0, 0, 0]] * 3, [0, 0, 0]).segments)
    return made


def adopted(keeper: Keeper, folder: str) -> Attempt:
    assert adopt_spool(keeper, folder) == 1
    (attempt,) = keeper.node
    for reader in keeper.readers_of(attempt):
        while keeper.look(reader):
            pass
    return attempt


def all_sent(keeper: Keeper, attempt: Attempt) -> None:
    attempt.registered, attempt.number, attempt.home = True, 3, "r-2"
    attempt.acknowledge(0, RECORDS)
    attempt.files["t"] = FileVersion("t", "model.pt", 3, 0, 1, 0, 0.0, state=Blob.SENT)
    Path(attempt.directory, "blobs", "t").write_bytes(b"abc")
    for one in attempt.unreported():
        attempt.note_told(one)
    keeper.save(attempt)


def at(spool: Path, hub: str, **more: Any) -> Any:
    return a_keeper(str(spool), FakeHub(), hub, **more)


async def test_what_one_hub_has_another_has_not(folder: str, tmp_path: Path) -> None:
    async with at(tmp_path / "a", "http://a") as keeper:
        first = adopted(keeper, folder)
        all_sent(keeper, first)
        assert first.complete
    async with at(tmp_path / "b", "http://a") as keeper:
        same = adopted(keeper, folder)
        assert (same.over, same.registered, same.unreported(), same.pending_records()) == (True, True, [], 0)
        assert same.complete
    async with at(tmp_path / "c", "http://b", one_hub=True) as keeper:
        other = adopted(keeper, folder)
        assert other.pending_records() == RECORDS
        assert [one.name for one in other.pending_versions()] == ["model.pt"]
        assert (other.registered, other.number, other.home, other.lost) == (False, None, "r", 0)
        assert [report.said.event for report in other.unreported()] == ["gone"]


async def test_what_was_deleted_when_one_hub_had_it_is_a_loss_at_another(folder: str, tmp_path: Path) -> None:
    async with at(tmp_path / "a", "http://a") as keeper:
        first = adopted(keeper, folder)
        first.acknowledge(0, RECORDS)
        first.base[0] = Start(1, 4, {})
        keeper.save(first)
        os.unlink(os.path.join(folder, "w0-000000.seg"))
    async with at(tmp_path / "b", "http://b", one_hub=True) as keeper:
        pending = adopted(keeper, folder).pending(0)
        assert (pending[0].first_seq, pending[0].next_seq, bool(pending[0].inline)) == (0, 4, True)
        assert pending[-1].next_seq == RECORDS
