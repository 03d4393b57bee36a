"""Snapshots of files: hashed and made durable once, then read in pieces for upload."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from blake3 import blake3

from respool.wire.attempt import BLOBS
from respool.wire.errors import FormatError
from respoold.io import disk

PIECE = 1 << 20


class BlobGoneError(Exception):
    """A snapshot is not there, or has another size than was recorded: it is no version of the file."""


def settle(directory: str, token: str, size: int) -> str:
    """The BLAKE3 of a snapshot, in hex; on return its bytes are durable. Raises BlobGoneError."""
    hasher = blake3()
    try:
        fd = os.open(disk.blob_path(directory, token), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (OSError, FormatError) as error:
        raise BlobGoneError(f"its snapshot is gone ({error})") from error
    try:
        found = os.fstat(fd).st_size
        if found != size:
            raise BlobGoneError(f"its snapshot has {found} bytes, {size} were recorded")
        while piece := os.read(fd, PIECE):
            hasher.update(piece)
        os.fdatasync(fd)
    finally:
        os.close(fd)
    disk.sync_directory(os.path.join(directory, BLOBS))
    return hasher.hexdigest()


@contextmanager
def open_blob(directory: str, token: str) -> Iterator[Callable[[int, int], bytes]]:
    """`read(offset, size)` of a snapshot, for as long as the block lasts."""
    fd = os.open(disk.blob_path(directory, token), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield lambda offset, size: os.pread(fd, size, offset)
    finally:
        os.close(fd)
