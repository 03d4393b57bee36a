"""What the ranks of an attempt tell each other of a sharded checkpoint, in a spool without a daemon: each leaves a
small file beside its share, so that all know which checkpoints are whole here, what is said of them, and which go.

A rank removes its own shares only. Once one of them went, the others go too, whatever theirs say.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any, NamedTuple
from zlib import crc32

from respool.wire.attempt import BLOBS
from respool.wire.shares import Place

FOLDER = "shares"
_GONE = ".gone"


class Told(NamedTuple):
    """What one rank said of its share. `files`: their sizes by name in the folder of blobs."""

    name: str
    files: dict[str, int]
    keep: dict[str, Any]
    score: float | None
    pinned: bool


class Standing(NamedTuple):
    """A sharded checkpoint as it stands here: of what its shares say, the lowest rank's counts; one may pin it."""

    whole: bool
    doomed: bool
    keep: dict[str, Any]
    score: float | None
    pinned: bool


class SharedSave(NamedTuple):
    """One rank's share of one save of a checkpoint, in the attempt that lies in `directory`."""

    directory: str
    name: str
    step: int
    place: Place

    def tell(self, told: Told) -> None:
        """Let the others know. What cannot be said leaves it incomplete to them, and so costs no other one."""
        path = self._path(self.place.rank)
        with suppress(OSError):
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(path + ".part", "w", encoding="utf-8") as file:
                json.dump(told._asdict(), file)
            os.rename(path + ".part", path)

    def standing(self) -> Standing:
        """As all ranks' files say now."""
        ranks = range(self.place.world)
        said = [told for told in map(self._read, ranks) if told is not None]
        first = said[0] if said else Told(self.name, {}, {}, None, pinned=False)
        return Standing(
            whole=len(said) == self.place.world and all(map(self._there, said)),
            doomed=any(os.path.exists(self._path(rank) + _GONE) for rank in ranks),
            keep=first.keep,
            score=first.score,
            pinned=any(one.pinned for one in said),
        )

    def let_go(self) -> None:
        """This rank's share is being removed."""
        path = self._path(self.place.rank)
        with suppress(OSError):
            os.rename(path, path + _GONE)

    def _path(self, rank: int) -> str:
        # The name may be a path, or longer than a file's may be: the file itself tells it whole.
        name = f"{crc32(self.name.encode()):08x}-{self.step}-{self.place.repeat}-{rank}"
        return os.path.join(self.directory, FOLDER, name)

    def _read(self, rank: int) -> Told | None:
        try:
            with open(self._path(rank), encoding="utf-8") as file:
                told = Told(**json.load(file))
        except (OSError, ValueError, TypeError):
            return None
        return told if told.name == self.name else None

    def _there(self, told: Told) -> bool:
        try:
            return all(
                os.stat(os.path.join(self.directory, BLOBS, token)).st_size >= size
                for token, size in told.files.items()
            )
        except OSError:
            return False
