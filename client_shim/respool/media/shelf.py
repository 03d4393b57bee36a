"""Where the files of one row's media go: `media/FOLDER/KEY_STEP_DIGEST.SUFFIX` of the run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/")
_LONGEST = 200
_CHUNK = 1 << 20

Keep = Callable[[str, str, int], bool]
"""Commits the file at a path under a name, with a step; says whether it was kept."""


class Shelf:
    """Keeps the media of a row with one step. The digest in a name makes equal content one file."""

    def __init__(self, keep: Keep, step: int) -> None:
        self._keep = keep
        self._step = step

    def keep_bytes(self, folder: str, key: str, suffix: str, data: bytes) -> dict[str, Any]:
        """Keep `data` as a file; its sha256, size and path. Raises OSError."""
        # In memory: no second copy on a disk that may be small, and nothing to clean up after a kill.
        fd = os.memfd_create("respool-media", os.MFD_CLOEXEC)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            digest = hashlib.sha256(data).hexdigest()
            return self._commit(f"/proc/self/fd/{fd}", folder, key, suffix, digest, len(data))
        finally:
            os.close(fd)

    def keep_path(self, folder: str, key: str, suffix: str, path: str) -> dict[str, Any]:
        """Keep the file at `path`; its sha256, size and path in the run. Raises OSError."""
        digest, size = hashlib.sha256(), 0
        with open(path, "rb") as file:
            while data := file.read(_CHUNK):
                digest.update(data)
                size += len(data)
        return self._commit(path, folder, key, suffix, digest.hexdigest(), size)

    def _commit(
        self, path: str, folder: str, key: str, suffix: str, digest: str, size: int
    ) -> dict[str, Any]:
        name = f"media/{folder}/{_spelled(key)}_{self._step}_{digest[:20]}{suffix}"
        if not self._keep(path, name, self._step):
            return {"sha256": digest, "size": size, "error": "it could not be kept"}
        return {"sha256": digest, "size": size, "path": name}


def _spelled(key: str) -> str:
    safe = "".join(letter if letter in _SAFE else "_" for letter in key)
    parts = [part for part in safe.split("/") if part.strip(".")]
    return "/".join(parts)[:_LONGEST] or "_"
