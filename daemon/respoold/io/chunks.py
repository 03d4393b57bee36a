"""A snapshot in chunks: cut and hashed once, made durable, and noted beside it.

    blobs/TOKEN          the snapshot
    blobs/TOKEN.chunks   msgpack {"digest", "digests", "sizes"}: written when the snapshot is known to be on disk

The note is what tells a snapshot that survived a power cut from one of the right size whose bytes never got to
the disk: after a reboot one without a note is not believed. A process without a daemon, which knows no digests,
leaves an empty note.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from blake3 import blake3

from respool.wire import codec
from respool.wire.attempt import BLOBS, NOTE
from respool.wire.errors import WireError
from respoold.core.cuts import chunk_sizes
from respoold.core.manifest import BadManifestError, check, manifest_digest
from respoold.io.blobs import BlobGoneError, path_of
from respoold.io.files import write_bytes

HASHERS = 2
_TURNS = [threading.Lock() for _ in range(16)]
"""Who waits for a checkpoint and who uploads it want the same snapshot settled: one does it, the other reads how."""

_LARGEST = 1 << 40


class Chunked(NamedTuple):
    """What a file consists of: its manifest's digest, 32 bytes per chunk, and each chunk's size."""

    digest: str
    digests: bytes
    sizes: list[int]

    @property
    def size(self) -> int:
        return sum(self.sizes)


def settle(directory: str, token: str, size: int) -> Chunked:
    """Cut and hash a snapshot, sync it, and note that; durable on return. Blocks for its bytes. Raises
    BlobGoneError for one that is gone, cannot be read or has another size, OSError when it cannot be noted.
    """
    path = path_of(directory, token)
    with _TURNS[hash(path) % len(_TURNS)]:
        noted = read_note(directory, token, size)
        if noted is None:
            noted = synced(directory, token, size)
            write_bytes(path + NOTE, codec.pack(noted._asdict()))
        return noted


def synced(directory: str, token: str, size: int) -> Chunked:
    """Cut and hash a snapshot and sync its bytes, without a note. Raises BlobGoneError."""
    path = path_of(directory, token)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise BlobGoneError(f"its snapshot is gone ({error})") from error
    try:
        found = os.fstat(fd).st_size
        if found != size:
            raise BlobGoneError(f"its snapshot has {found} bytes, {size} were recorded")
        made = hash_file(fd, size)
        os.fdatasync(fd)
    except OSError as error:
        raise BlobGoneError(f"its snapshot cannot be read ({error})") from error
    finally:
        os.close(fd)
    return made


def read_note(directory: str, token: str, size: int) -> Chunked | None:
    """What `settle` noted, or None."""
    try:
        with open(path_of(directory, token) + NOTE, "rb") as file:
            values = codec.unpack_map(file.read())
        digest, digests, sizes = values["digest"], values["digests"], list(values["sizes"])
        check(digest, size, digests, sizes, _LARGEST)
    except (OSError, WireError, KeyError, TypeError, BadManifestError):
        return None
    return Chunked(digest, digests, sizes)


def noted(directory: str, token: str) -> bool:
    """Whether somebody noted that a snapshot is on disk; a process without a daemon does so with an empty note."""
    return os.path.lexists(path_of(directory, token) + NOTE)


def unbroken(directory: str, token: str, size: int) -> bool:
    """Whether a snapshot has its size and no hole, which is what a disk leaves that lost its power too early."""
    try:
        fd = os.open(path_of(directory, token), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return os.fstat(fd).st_size == size and (not size or os.lseek(fd, 0, os.SEEK_HOLE) == size)
    except OSError:
        return False
    finally:
        os.close(fd)


def hash_file(fd: int, size: int) -> Chunked:
    """The chunks of an open file. Two threads: BLAKE3 gives the lock away, and the disk waits for neither."""
    sizes = chunk_sizes(lambda offset, count: os.pread(fd, count, offset), size)
    starts, at = [], 0
    for one in sizes:
        starts.append(at)
        at += one

    def digest(start: int, count: int) -> bytes:
        return blake3(_exactly(fd, start, count)).digest()

    if len(sizes) < 4:
        digests = b"".join(map(digest, starts, sizes))
    else:
        with ThreadPoolExecutor(HASHERS) as pool:
            digests = b"".join(pool.map(digest, starts, sizes))
    return Chunked(manifest_digest(digests, sizes), digests, sizes)


def intact(directory: str, token: str, fd: int, size: int) -> bool:
    """Whether an open snapshot still is what was noted when it was settled; True where nothing was. Blocks for its
    bytes.
    """
    noted = read_note(directory, token, size)
    try:
        return noted is None or hash_file(fd, size) == noted
    except (OSError, BlobGoneError):
        return False


def remove(directory: str, name: str) -> None:
    """Remove one name of a blobs folder, a snapshot's or a note's."""
    try:
        os.unlink(os.path.join(directory, BLOBS, name))
    except FileNotFoundError:
        return


def delete(directory: str, token: str) -> None:
    """Remove a snapshot and its note; one that is not there is as good."""
    for path in (path_of(directory, token), path_of(directory, token) + NOTE):
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue


def _exactly(fd: int, start: int, count: int) -> bytes:
    data = os.pread(fd, count, start)
    if len(data) != count:
        raise BlobGoneError(f"its snapshot ends at {start + len(data)} bytes")
    return data
