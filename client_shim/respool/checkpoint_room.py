"""Room for checkpoints in the spool: asked of the daemon, or taken where the spool is ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from respool.saving import GRANT_SECONDS, Grant
from respool.wire.attempt import BLOBS
from respool.wire.messages import BlobDone, BlobDropped, BlobKept, Settle, Settled, Stage, Staged

WRITE_SECONDS = 3600.0

if TYPE_CHECKING:
    from respool.arena import StagedFile
    from respool.checkpoint_file import CheckpointFile
    from respool.keeper import Keeper


class CheckpointRoom:
    """The blobs of one attempt's checkpoints."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def grant(self, name: str, expected: int) -> Grant:
        """An empty file. Raises SnapshotError when `expected` bytes are known not to fit, or nobody can be asked."""
        return self._keeper.room.grant(name, expected)

    def kept(self, sizes: dict[str, int]) -> str | None:
        """Why these blobs may not stay, or None. A daemon that is away is not waited for: what was granted stays."""
        tether = self._keeper.tether
        answer = None if tether is None else tether.ask(BlobDone(sizes), GRANT_SECONDS)
        return answer.message.error if answer is not None and isinstance(answer.message, BlobKept) else None

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
