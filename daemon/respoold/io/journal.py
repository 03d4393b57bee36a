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

    def _path(self, uid: int, run: tuple[str, str]) -> str:
        """Named for a person's eye by the run id, and for good by the digest: a project may be any text."""
        digest = blake2b("\0".join(run).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
        return os.path.join(self._root, f"u{uid}", disk.JOURNAL, f"{run[1]}-{digest}.json")
