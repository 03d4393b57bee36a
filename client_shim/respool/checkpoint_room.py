"""Room for checkpoints in the spool: asked of the daemon, or taken where the spool is ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from respool.blobs import SnapshotError
from respool.local_quota import refuse_blob
from respool.local_retention import Handed, LocalRetention
from respool.saving import GRANT_SECONDS, Grant
from respool.wire.attempt import BLOBS
from respool.wire.messages import BlobDone, BlobDropped, BlobKept, Settle, Settled, Stage, Staged

WRITE_SECONDS = 3600.0

if TYPE_CHECKING:
    from respool.arena import StagedFile
    from respool.checkpoint import Description
    from respool.checkpoint_file import CheckpointFile
    from respool.keeper import Keeper


class CheckpointRoom:
    """The blobs of one attempt's checkpoints. `retention` where no daemon looks after them."""

    def __init__(self, keeper: Keeper, retention: LocalRetention | None = None) -> None:
        self._keeper = keeper
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
        if self._retention is not None and what.world == 1:
            folder = os.path.join(self._keeper.attached.directory, BLOBS)
            files = tuple(os.path.join(folder, token) for token in tokens)
            self._retention.took(Handed(what.name, what.step, files, what.keep, what.score, what.pinned))

    def stage(self, file: StagedFile) -> Callable[[], bool]:
        """Have a file's arena written to disk behind the trainer's back; how to wait for that. The daemon does it, and
        then it survives this process; or a thread does.
        """
        tether = self._keeper.tether
        if tether is not None and file.arena is not None:
            answer = tether.ask(Stage(file.token, file.size), GRANT_SECONDS, fds=[file.arena.fd])
            if answer is not None and isinstance(answer.message, Staged) and answer.message.error is None:
                return lambda: self.settled([file.token], WRITE_SECONDS)
        return file.write_behind()

    def drop(self, files: Iterable[CheckpointFile]) -> None:
        """No record names these: give their bytes back."""
        theirs: list[str] = []
        for file in files:
            file.fail("it was dropped")
            if file.path is not None:
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
        return all(_synced(os.path.join(folder, token)) for token in tokens) and _synced(folder)


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
