"""Files that are replaced as a whole: all there or not at all, whatever is cut when."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any


def write_json(path: str, value: Any) -> None:
    """Replace a file by a JSON value; durable on return."""
    write_bytes(path, json.dumps(value, indent=1, default=str).encode("utf-8", "backslashreplace"))


def read_json(path: str) -> Any:
    """A file's JSON value, or None when there is none that can be read."""
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def write_bytes(path: str, data: bytes, *, sync: bool = True) -> None:
    """Replace a file, atomically; with `sync` durably."""
    part = f"{path}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if sync:
            os.fsync(fd)
        os.rename(part, path)
    except OSError:
        with suppress(OSError):
            os.unlink(part)
        raise
    finally:
        os.close(fd)
    if sync:
        sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def free_share(path: str) -> tuple[float, int]:
    """(share of the file system that is free for us, bytes of it)."""
    found = os.statvfs(path)
    return found.f_bavail / max(found.f_blocks, 1), found.f_bavail * found.f_frsize


def names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def allocated(path: str) -> int:
    try:
        return os.stat(path).st_blocks * 512
    except FileNotFoundError:
        return 0
