"""Snapshots of files: hashed and made durable once, then read in pieces for upload."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from respool.wire.attempt import BLOBS
from respool.wire.errors import FormatError
from respoold.io.files import sync_directory

PIECE = 1 << 20


class BlobGoneError(Exception):
    """A snapshot is not there, or has another size than was recorded: it is no version of the file."""


def path_of(directory: str, token: str) -> str:
    """Where a snapshot lies. Raises FormatError for a token that is no plain name."""
    if not token.replace("-", "").replace("_", "").isalnum() or not token.isascii():
        raise FormatError(f"blob token {token!r:.80} is not a plain name")
    return os.path.join(directory, BLOBS, token)


def create(directory: str, token: str) -> int:
    """An empty snapshot's descriptor."""
    return os.open(path_of(directory, token), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def tokens(directory: str) -> list[str]:
    try:
        return os.listdir(os.path.join(directory, BLOBS))
    except FileNotFoundError:
        return []


def size_of(directory: str, token: str) -> int:
    """Bytes of a snapshot as it is now; 0 for none."""
    try:
        return os.stat(path_of(directory, token), follow_symlinks=False).st_size
    except (OSError, FormatError):
        return 0


def delete(directory: str, token: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path_of(directory, token))


def settle(directory: str, token: str, size: int) -> str:
    """The BLAKE3 of a snapshot, in hex; on return its bytes are durable. Raises BlobGoneError."""
    from blake3 import blake3  # noqa: PLC0415 - `respool status` looks at blobs, and needs no extra

    hasher = blake3()
    try:
        fd = os.open(path_of(directory, token), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (OSError, FormatError) as error:
        raise BlobGoneError(f"its snapshot is gone ({error})") from error
    try:
        found = os.fstat(fd).st_size
        if found != size:
            raise BlobGoneError(f"its snapshot has {found} bytes, {size} were recorded")
        while piece := os.read(fd, PIECE):
            hasher.update(piece)
        os.fdatasync(fd)
    except OSError as error:
        raise BlobGoneError(f"its snapshot cannot be read ({error})") from error
    finally:
        os.close(fd)
    sync_directory(os.path.join(directory, BLOBS))
    return hasher.hexdigest()


@contextmanager
def open_blob(directory: str, token: str) -> Iterator[Callable[[int, int], bytes]]:
    """`read(offset, size)` of a snapshot, for as long as the block lasts. Raises BlobGoneError, and so does
    `read` when there is nothing at that offset.
    """
    try:
        fd = os.open(path_of(directory, token), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise BlobGoneError(f"its snapshot is gone ({error})") from error
    try:
        yield lambda offset, size: _piece(fd, offset, size)
    finally:
        os.close(fd)


def _piece(fd: int, offset: int, size: int) -> bytes:
    piece = os.pread(fd, size, offset)
    if not piece:
        raise BlobGoneError(f"its snapshot ends at {offset} bytes")
    return piece
