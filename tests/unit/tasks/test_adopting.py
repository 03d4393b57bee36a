"""Folders that processes without a daemon left: what one keeper has noted in them, and what another makes of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from respool.wire.attempt import AttemptFile
from respoold.core.attempt import Attempt
from respoold.core.file_version import Blob, FileVersion
from respoold.core.tail import Start
from respoold.io import disk
from respoold.io.lease import Lease
from respoold.tasks.adopt import adopt_spool
from respoold.tasks.keeper import Keeper
from unit.io.spools import ATTEMPT_ID, REQUEST, a_spool, lay
from unit.tasks.kit import ME, FakeHub, a_keeper, people

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


@pytest.fixture
def living(folder: str) -> Iterator[str]:
    """The same, of a process that lives."""
    with people() as who:
        request = who.ask()._asdict()
        disk.create_attempt(folder, AttemptFile(ATTEMPT_ID, request, ME))
        yield folder


def pruned(keeper: Keeper, folder: str) -> Attempt:
    attempt = adopted(keeper, folder)
    attempt.acknowledge(0, RECORDS)
    keeper.prune(attempt, 0)
    return attempt


def segments_in(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(".seg"))


async def test_of_what_a_living_process_keeps_by_itself_whole_segments_go_when_the_hub_has_them(
    living: str, tmp_path: Path
) -> None:
    async with at(tmp_path / "a", "http://a", rows_quota=8) as keeper:
        assert pruned(keeper, living).alive
        assert segments_in(living) == ["w0-000002.seg"]
    async with at(tmp_path / "b", "http://a") as keeper:
        other = adopted(keeper, living)
        assert (other.pending_records(), other.lost, other.rows) == (0, 0, 9)


async def test_whole_segments_stay_while_somebody_else_reads_them(living: str, tmp_path: Path) -> None:
    async with at(tmp_path / "a", "http://a", rows_quota=8) as keeper:
        reading = Lease(living)
        attempt = pruned(keeper, living)
        assert len(segments_in(living)) == 3
        reading.close()
        keeper.shelf.clear(ME)
        assert segments_in(living) == ["w0-000002.seg"]
        later = Lease(living)
        assert not keeper.notes.alone(attempt)
        later.close()


@pytest.mark.parametrize("where", ["on a shared file system", "of another node"])
async def test_what_others_may_write_or_read_without_our_knowledge_is_only_read(
    living: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "of another node":
        disk.create_attempt(living, AttemptFile(ATTEMPT_ID, {**REQUEST, "node": "elsewhere"}, ME))
    else:
        monkeypatch.setattr("respool.mounts.kind_of", lambda _: "nfs4")
    async with at(tmp_path / "a", "http://a", rows_quota=8) as keeper:
        pruned(keeper, living)
        assert (len(segments_in(living)), "progress" in os.listdir(living)) == (3, False)


@pytest.mark.parametrize("writable", [True, False])
async def test_what_an_ended_process_reserved_and_never_wrote_is_given_back(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    last = Path(folder, "w0-000002.seg")
    before = last.stat().st_size

    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    if not writable:
        monkeypatch.setattr("respoold.io.segments.cut_tail", refuse)
    async with at(tmp_path / "a", "http://a") as keeper:
        attempt = adopted(keeper, folder)
        assert (attempt.pending_records(), attempt.over, attempt.lost) == (RECORDS, True, 0)
    assert (last.stat().st_size < before) == writable
