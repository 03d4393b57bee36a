"""What a user may say that is a path, or somebody else's: it leads nowhere, and costs nobody but him."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from respool.wire import codec
from respool.wire.attempt import AttemptFile
from respool.wire.file_messages import CheckpointsAsked, RestorePart
from respool.wire.frames import Frame, Kind, encode, walk
from respoold.core.checkpoints import parse
from respoold.io import disk
from respoold.tasks import listing
from respoold.tasks.adopt import adopt_spool
from respoold.tasks.asker import Asker
from respoold.tasks.staging import Staging
from unit.io.spools import ATTEMPT_ID, REQUEST, a_spool, lay
from unit.tasks.kit import ME, FakeHub, a_keeper, granted, log, people

SECRET = b"another user's weights"


class Naming(FakeHub):
    """A hub that says where on this node the parts of a checkpoint lie."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    async def checkpoints(self, _run: Any) -> list[dict[str, Any]]:
        part = {"rank": 0, "name": "", "size": len(SECRET), "digest": "", "path": self._path}
        return [{"name": "c", "step": 1, "attempt_id": "x", "parts": [part], "ranks": [0], "complete": True}]


async def test_no_hub_says_what_is_opened_on_this_node(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    async with a_keeper(str(tmp_path / "spool"), Naming(str(secret))) as keeper:
        shown = await listing.listed(keeper, Asker(ME, None), CheckpointsAsked("p/r", None))
        assert str(secret) not in str(shown)
        answer, fd = await listing.part(
            keeper, Asker(ME, None), RestorePart("c", 1, run="p/r", attempt_id="x")
        )
        assert (fd, bool(answer.error)) == (None, True)


@pytest.mark.parametrize("token", ["../../u1/x/blobs/t", "/etc/passwd", "a/b", "", "x" * 129, "nul\0", "é"])
async def test_a_record_that_names_a_path_in_place_of_a_snapshot_names_nothing(
    tmp_path: Path, token: str
) -> None:
    async with a_keeper(str(tmp_path / "spool")) as keeper:
        with people() as who:
            found = await granted(keeper, who.ask())
            value = {"blob": token, "name": "model.pt", "size": 3}
            log(keeper, found, kind=Kind.FILE, value=value)
            assert (found.attempt.tails[0].facts.rows, found.attempt.files) == (0, {})
    part = {"name": "", "blob": token, "size": 3}
    assert parse(0, _frame({"name": "c", "step": 1, "parts": [part]})) is None
    assert parse(0, _frame({"name": "c", "step": 1, "parts": [part | {"blob": "w0-1"}]})) is not None


def _frame(value: dict[str, Any]) -> Frame:
    (frame,) = walk(encode(Kind.CHECKPOINT, codec.pack(value), seq=0, step=1, time=0.0)).frames
    return frame


async def test_memory_for_what_is_no_name_of_a_snapshot_is_let_go(tmp_path: Path) -> None:
    made = os.memfd_create("memory")
    async with trio.open_nursery() as nursery:
        refused = Staging(nursery, lambda: None).begin(str(tmp_path), "../x", 0, made)
    assert refused
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made)


@pytest.mark.skipif(ME != 0, reason="needs root, to own a folder that says it is another's")
async def test_a_folder_is_its_owners_whatever_its_papers_say(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    disk.create_attempt(str(folder), AttemptFile(ATTEMPT_ID, REQUEST, ME))
    lay(str(folder), a_spool([[0, 0, 0]], [0]).segments)
    os.chown(folder, 2001, 2001)
    async with a_keeper(str(tmp_path / "spool")) as keeper:
        assert adopt_spool(keeper, str(folder)) == 1
        (attempt,) = keeper.node
        assert attempt.file.uid == 2001
        assert disk.read_attempt(str(folder)).uid == ME
