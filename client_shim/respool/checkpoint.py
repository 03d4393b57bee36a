"""A checkpoint that is being written: files in the spool that one record makes visible, all or none.

    with run.checkpoint(step) as file:
        torch.save(state, file)

Leaving the block normally hands it over: from then on it survives every kill. Leaving it by an exception, or
dying in it, leaves nothing that anyone can see.
"""

from __future__ import annotations

import os
import sys
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from respool import notices, row_codec
from respool.arena import Arena, StagedFile
from respool.blobs import SnapshotError, open_source, snapshot
from respool.checkpoint_file import CheckpointFile
from respool.errors import RecordLostError
from respool.saving import possible_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from respool.checkpoint_room import CheckpointRoom
    from respool.staged_copy import StagedCopy


_OTHERWISE = "file"


class Description(NamedTuple):
    """What a CHECKPOINT record says beside its parts. `repeat`: see `respool.wire.shares`."""

    name: str
    step: int
    metadata: dict[str, Any]
    rank: int = 0
    world: int = 1
    keep: dict[str, Any] = {}
    score: float | None = None
    pinned: bool = False
    repeat: int = 0


class Checkpoint(StagedFile):
    """The checkpoint's own file, and the way to further ones. `ok`: it was handed over, whole. `metadata` may be
    changed until then. `commit` writes the record. Without a room nothing is kept, and nothing is said of it. With
    an `arena` its own file is copied there, and written to disk while training goes on.
    """

    def __init__(
        self,
        what: Description,
        room: CheckpointRoom | None,
        commit: Callable[[bytes], bool],
        *,
        strict: bool,
        expected: int = 0,
        arena: Arena | None = None,
    ) -> None:
        self.ok = False
        self.step = what.step
        self.metadata = dict(what.metadata)
        self._what = what
        self._room = room
        self._commit = commit
        self._strict = strict
        self._files: dict[str, CheckpointFile] = {}
        self._over = False
        self._behind: StagedCopy | None = None
        self._checksums: bool | None = None
        super().__init__(what.name, *self._granted(what.name, expected))
        self.arena = arena
        if self.error:
            self._let_go()

    def part(self, name: str, expected: int = 0) -> CheckpointFile:
        """A further file of this checkpoint, open for writing; `expected` bytes, where that is known. Of a name that
        leads out of it, or is too long, only a part is kept, which is said. Raises UsageError if strict.
        """
        plain, good = possible_name(name, "part")
        if not good:
            plain = plain if plain not in self._files else f"{plain}-{len(self._files)}"
            self._misnamed(
                f"part({name!r:.40}) is no name of a file in a checkpoint", plain, "Pass a relative path"
            )
        elif any(one.startswith(f"{plain}/") or plain.startswith(f"{one}/") for one in self._files):
            plain = f"{plain.replace('/', '-')}-{_OTHERWISE}"
            self._misnamed(
                f"part({name!r:.40}) is a file and a folder in one checkpoint", plain, "Pass another name"
            )
        if plain not in self._files:
            self._files[plain] = CheckpointFile(plain, *self._granted(f"{self._what.name}/{plain}", expected))
        return self._files[plain]

    def _misnamed(self, cause: str, plain: str, advice: str) -> None:
        notices.misused(f"part {plain}", cause, f"it is kept as {plain!r}", advice, strict=self._strict)

    def add(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """A copy of a file, as it is now, as a part of this checkpoint."""
        where = os.fspath(path)
        try:
            size = os.stat(where).st_size
        except OSError:
            size = 0  # what is wrong with it is said when it is opened
        file = self.part(name or os.path.basename(where), size)
        try:
            source = open_source(where)
            try:
                if file.error is None:
                    file.took(snapshot(source, file.descriptor)[0])
            finally:
                os.close(source)
        except SnapshotError as error:
            file.fail(str(error))

    def wait(self, timeout: float = 600.0) -> bool:
        """Wait until it is on disk, `timeout` seconds at most. False: it is not, or was never handed over."""
        room, deadline = self._room, monotonic() + timeout
        if not self.ok or room is None or not (self._behind is None or self._behind.wait(timeout)):
            return False
        return room.settled([file.token for file in self._written()], max(0.0, deadline - monotonic()))

    def __enter__(self) -> Self:
        if self.arena is not None:
            self._checksums = _without_checksums()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._checksums is not None:
            _with_checksums(self._checksums)
        if not self._over:
            self._finish(abandoned=kind is not None)

    def abandon(self) -> None:
        """Keep nothing of it."""
        if not self._over:
            self._finish(abandoned=True)

    def _finish(self, *, abandoned: bool) -> None:
        self._over = True
        try:
            if self._room is not None:
                self._settle(self._room, abandoned=abandoned)
        finally:
            for file in [self, *self._files.values()]:
                file.release()

    def _settle(self, room: CheckpointRoom, *, abandoned: bool) -> None:
        written, everything = self._written(), [self, *self._files.values()]
        why = next((file.error for file in everything if file.error), None)
        if not abandoned and why is None:
            why = room.kept(_sizes(written))
            why = why or self._staged(room, written) or self._record(written)
        named = () if abandoned or why else written
        room.drop([file for file in everything if file.token and file not in named])
        self.ok = bool(named)
        if self.ok:
            room.committed(self._what, _sizes(written))
        if why and not abandoned:
            self._complain(why)

    def _staged(self, room: CheckpointRoom, written: list[CheckpointFile]) -> str | None:
        """Send its own file on its way out of the arena. Why that cannot be, or None."""
        if self.arena is None or self not in written:
            return None
        try:
            self._behind = room.stage(self)
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _written(self) -> list[CheckpointFile]:
        """The files that count: the checkpoint's own only if anything was written to it, or there is no other."""
        own: list[CheckpointFile] = [self] if self.size or not self._files else []
        return own + list(self._files.values())

    def _record(self, files: list[CheckpointFile]) -> str | None:
        parts = [
            {"name": "" if file is self else file.name, "blob": file.token, "size": file.size}
            for file in files
        ]
        body = {**self._what._asdict(), "metadata": self.metadata, "parts": parts}
        payload = row_codec.pack_map(body, row_codec.told)
        if payload is None:
            return "its metadata are too large for a record"
        return None if self._commit(payload) else "the spool took no further record"

    def _granted(self, name: str, expected: int) -> tuple[Any, str | None]:
        if self._room is None:
            return None, "this run keeps nothing"
        try:
            return self._room.grant(name, expected), None
        except SnapshotError as error:
            return None, str(error)

    def _complain(self, why: str) -> None:
        text = f"checkpoint {self._what.name} at step {self.step} was not kept: {why}."
        if self._strict:
            raise RecordLostError(f"{text} Free space, or keep fewer checkpoints.")
        notices.alarm(f"checkpoint {why}", f"{text} Training goes on.")


def _sizes(files: list[CheckpointFile]) -> dict[str, int]:
    return {file.token: file.size for file in files}


def _without_checksums() -> bool | None:
    """Have torch leave out the zip file's own checksums, which cost more than the copy and which nobody reads when
    it is loaded: ours are over every byte. Says how it was before; None without torch.
    """
    serialization = sys.modules.get("torch.serialization")
    if serialization is None or not hasattr(serialization, "set_crc32_options"):
        return None
    before = bool(serialization.get_crc32_options())
    serialization.set_crc32_options(False)
    return before


def _with_checksums(before: bool) -> None:
    sys.modules["torch.serialization"].set_crc32_options(before)
