"""The journal: what a node remembers of each run, so that it can answer a resume without the hub.

One small file a run, replaced whole, in its user's folder. It outlives the run's segments.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b

from respool.wire.errors import FormatError
from respool.wire.shapes import build
from respoold.core.memory import Memory
from respoold.io import disk, files

LAUNCHES = ".launches"
MOST_LAUNCHES = 256
"""Kept for each run, the newest."""


class Journal:
    """The memories in one spool, by user and run."""

    def __init__(self, root: str) -> None:
        self._root = root

    def remember(self, uid: int, memory: Memory) -> None:
        """Keep a memory; durable on return. Raises OSError."""
        path = self._path(uid, (memory.project, memory.run_id))
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        files.write_json(path, memory._asdict())

    def recall(self, uid: int, run: tuple[str, str]) -> Memory | None:
        """What is known of (project, run id); None also for a file that cannot be read."""
        try:
            memory: Memory = build(Memory, files.read_json(self._path(uid, run)))
        except FormatError:
            return None
        return memory

    def forget(self, uid: int, run: tuple[str, str]) -> None:
        """The run is no more."""
        with suppress(OSError):
            os.unlink(self._path(uid, run))

    def note_launch(self, uid: int, run: tuple[str, str], launch: str, generation: int) -> None:
        """Keep the number of a launch's attempt in a run, before the attempt's folder goes: an attempt's id follows
        from it, and must never be given twice. Durable on return. Raises OSError.
        """
        known = self.launches(uid, run)
        if known.get(launch, -1) < generation:
            path = self._path(uid, run, LAUNCHES)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            newest = {**{one: known[one] for one in known if one != launch}, launch: generation}
            files.write_json(path, dict(list(newest.items())[-MOST_LAUNCHES:]))

    def launches(self, uid: int, run: tuple[str, str]) -> dict[str, int]:
        """For each launch whose attempts in a run were removed, the greatest of their numbers."""
        found = files.read_json(self._path(uid, run, LAUNCHES))
        pairs = found.items() if isinstance(found, dict) else ()
        return {launch: number for launch, number in pairs if isinstance(number, int)}

    def _path(self, uid: int, run: tuple[str, str], ending: str = ".json") -> str:
        """Named for a person's eye by the run id, and for good by the digest: a project may be any text."""
        digest = blake2b("\0".join(run).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
        return os.path.join(self._root, f"u{uid}", disk.JOURNAL, f"{run[1]}-{digest}{ending}")
