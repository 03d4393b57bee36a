"""Attempt tokens on this node: what a user's own key was exchanged for, kept where no rsync of a run carries it.

    SPOOL/v1/tokens/u<uid>/ATTEMPT_ID      0600; empty while the hub has not given one yet

The key itself is never written: while the hub has not answered, it is in the daemon's memory only.
"""

from __future__ import annotations

import os
from contextlib import suppress

from respoold.io.files import names, sync_directory

FOLDER = "tokens"


def read(root: str, uid: int, attempt_id: str) -> str | None:
    """The token; "" while there is none yet; None for an attempt that came without a key."""
    try:
        with open(_path(root, uid, attempt_id), encoding="ascii") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return None


def write(root: str, uid: int, attempt_id: str, token: str) -> None:
    """Keep a token; durable on return. Raises OSError."""
    path = _path(root, uid, attempt_id)
    folder = os.path.dirname(path)
    for each in (os.path.dirname(folder), folder):
        os.makedirs(each, mode=0o700, exist_ok=True)
    fd = os.open(path + ".part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, token.encode("ascii"))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(path + ".part", path)
    sync_directory(folder)


def drop(root: str, uid: int, attempt_id: str) -> None:
    """The attempt is no more."""
    with suppress(OSError):
        os.unlink(_path(root, uid, attempt_id))


def sweep(root: str, uid: int, known: set[str]) -> None:
    """Drop what belongs to no attempt that is kept."""
    for name in names(os.path.join(root, FOLDER, f"u{uid}")):
        if name not in known:
            drop(root, uid, name)


def _path(root: str, uid: int, attempt_id: str) -> str:
    return os.path.join(root, FOLDER, f"u{uid}", attempt_id)
