"""Files that are replaced as a whole: all there or not at all, whatever is cut when."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

from respool.wire import codec


def write_json(path: str, value: Any) -> None:
    """Replace a file by a JSON value; durable on return. What JSON cannot hold becomes text: the value may come
    from a stranger's records.
    """
    try:
        text = json.dumps(value, indent=1, default=str)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(codec.plain(value, lambda _: None), indent=1, default=str)
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def read_json(path: str) -> Any:
    """A file's JSON value, or None when there is none that can be read."""
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def write_bytes(path: str, data: bytes, *, sync: bool = True) -> None:
    """Replace a file, atomically; with `sync` durably."""
    part = f"{path}.{os.getpid()}.part"
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


def capacity(path: str) -> tuple[int, int]:
    """(size, free for us) of the file system, in bytes; nothing is free where it cannot be asked."""
    try:
        found = os.statvfs(path)
    except OSError:
        return 0, 0
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


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
