"""`run.restore()`: where a restored file is put, and how it gets there whole."""

from __future__ import annotations

import os
from threading import get_ident
from typing import BinaryIO

from respool import notices
from respool.blobs import SnapshotError, same_bytes, snapshot
from respool.errors import CommError


def place(source: int, name: str, root: str | None, run_dir: str, *, replace: bool) -> BinaryIO:
    """Put the bytes of `source` at root/name (the run's folder without a root) and open that for reading.

    A different file that is there is only replaced in the run's own folder, or when `replace` says so: else the
    restored one goes to the run's folder. Written aside and renamed, so it is never seen half. Closes `source`.
    """
    try:
        target = os.path.join(root or run_dir, name)
        if root is not None and not replace and _differs(source, target):
            notices.warn(
                f"restore {target}",
                f"{target} exists and differs from the restored version, which is in {run_dir} instead; "
                "pass replace=True to overwrite it.",
            )
            target = os.path.join(run_dir, name)
        write(source, target)
        return open(target, "rb")
    except (OSError, SnapshotError) as error:
        raise CommError(
            f"{name} could not be written below {root or run_dir}: {error}. Pass another root=."
        ) from error
    finally:
        os.close(source)


def _differs(source: int, target: str) -> bool:
    try:
        there = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not same_bytes(source, there)
    finally:
        os.close(there)


def write(source: int, target: str) -> None:
    """Copy to `target`, whole or not at all. Raises OSError or SnapshotError; `source` stays open."""
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    # Of its own for each thread, and short: the name may be as long as the file system lets it be.
    aside = os.path.join(os.path.dirname(target), f".respool-{os.getpid():x}-{get_ident():x}")
    fd = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        snapshot(source, fd)
    except SnapshotError:
        os.unlink(aside)
        raise
    finally:
        os.close(fd)
    try:
        os.replace(aside, target)
    except OSError:
        os.unlink(aside)
        raise
