"""Room for checkpoints in the spool: asked of the daemon, or taken where the spool is ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from respool.blobs import SnapshotError
from respool.local_quota import refuse_blob
from respool.local_retention import Handed, LocalRetention
from respool.saving import GRANT_SECONDS, Grant
from respool.wire.attempt import BLOBS, NOTE
from respool.wire.messages import BlobDone, BlobDropped, BlobKept, Settle, Settled

WRITTEN_BACK_SECONDS = 60.0
"""Twice what the kernel lets pass before it writes to the disk by itself."""

if TYPE_CHECKING:
    from respool.arena import StagedFile
    from respool.checkpoint import Description
    from respool.checkpoint_file import CheckpointFile
    from respool.keeper import Keeper
    from respool.staged_copy import StagedCopy


class CheckpointRoom:
    """The blobs of one attempt's checkpoints. `sync` has its records on disk, or says why not; `retention` where no
    daemon looks after them.
    """

    def __init__(
        self, keeper: Keeper, sync: Callable[[], str | None], retention: LocalRetention | None = None
    ) -> None:
        self._keeper = keeper
        self._sync = sync
        self._retention = retention

    def grant(self, name: str, expected: int) -> Grant:
        """An empty file. Raises SnapshotError when `expected` bytes are known not to fit, or nobody can be asked."""
        try:
            return self._keeper.room.grant(name, expected)
        except SnapshotError:
            if self._retention is None or not self._retention.make_room():
                raise
        return self._keeper.room.grant(name, expected)

    def kept(self, sizes: dict[str, int]) -> str | None:
        """Why these blobs may not stay, or None. A daemon that is away is not waited for: what was granted stays."""
        tether = self._keeper.tether
        if self._retention is not None:
            return self._judged(self._retention)
        answer = None if tether is None else tether.ask(BlobDone(sizes), GRANT_SECONDS)
        return answer.message.error if answer is not None and isinstance(answer.message, BlobKept) else None

    def _judged(self, retention: LocalRetention) -> str | None:
        spool = os.path.dirname(self._keeper.attached.directory)
        try:
            refusal = refuse_blob(spool, 0)
            if refusal is not None and retention.make_room():
                refusal = refuse_blob(spool, 0)
        except OSError as error:
            return f"the spool {spool} cannot be read: {error.strerror}"
        return refusal

    def committed(self, what: Description, tokens: Iterable[str]) -> None:
        """A record names these. Where no daemon does it, what they outlive is removed now."""
        folder = os.path.join(self._keeper.attached.directory, BLOBS)
        if self._retention is not None:
            note_synced(folder, time() - WRITTEN_BACK_SECONDS)
        if self._retention is not None and what.world == 1:
            files = tuple(os.path.join(folder, token) for token in tokens)
            self._retention.took(Handed(what.name, what.step, files, what.keep, what.score, what.pinned))

    def stage(self, file: StagedFile) -> StagedCopy:
        """Have a file's arena written to disk behind the trainer's back."""
        return file.write_behind(self._keeper.tether)

    def drop(self, files: Iterable[CheckpointFile]) -> None:
        """No record names these: give their bytes back."""
        theirs: list[str] = []
        for file in files:
            file.fail("it was dropped")
            if file.path is not None:
                with suppress(OSError):  # the spool may have been removed with all that is in it
                    os.unlink(file.path)
            else:
                theirs.append(file.token)
        if theirs and self._keeper.tether is not None:
            self._keeper.tether.say(BlobDropped(theirs))

    def settled(self, tokens: list[str], timeout: float) -> bool:
        """Wait until these blobs and their record are on disk."""
        tether = self._keeper.tether
        if tether is not None:
            answer = tether.ask(Settle(tokens), timeout)
            if answer is not None and isinstance(answer.message, Settled):
                return answer.message.error is None
        folder = os.path.join(self._keeper.attached.directory, BLOBS)
        noted = all(_noted(os.path.join(folder, token)) for token in tokens) and _synced(folder)
        return noted and self._sync() is None


def note_synced(folder: str, before: float | None = None) -> bool:
    """Have the blobs in `folder` on disk and note that they are, for after a reboot nobody believes the others:
    all, or those last written before `before`, which the kernel has written long since. Whether all are.
    """
    try:
        with os.scandir(folder) as entries:
            found = {one.name: one for one in entries}
        there = [one for name, one in found.items() if not name.endswith(NOTE) and name + NOTE not in found]
        chosen = [one.path for one in there if before is None or one.stat().st_mtime < before]
    except OSError:
        return False
    return not chosen or (all(_noted(path) for path in chosen) and _synced(folder))


def _noted(path: str) -> bool:
    if not _synced(path):
        return False
    try:
        os.close(os.open(path + NOTE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True


def _synced(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.fsync(fd)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
