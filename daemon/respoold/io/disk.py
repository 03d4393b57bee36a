"""The spool on disk: folders, segments, blobs, and what makes each of them durable.

    SPOOL/v1/lock                       flock: a second daemon on the same spool is refused
    SPOOL/v1/u<uid>/ATTEMPT_ID/         one attempt (`respool.wire.attempt`)
    SPOOL/v1/u<uid>/journal/RUN.json    what this node remembers of a run

Every function here blocks; tasks call the slow ones in a thread. A name is published by rename or link and then
its folder is synced, so after a power cut it is either all there or not at all.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from zlib import crc32

from respool.wire import codec
from respool.wire.attempt import (
    ATTEMPT_FILE,
    BLOBS,
    PROGRESS_FILE,
    QUARANTINE,
    AttemptFile,
    parse_attempt_file,
)
from respool.wire.errors import FormatError, UnknownVersionError, WireError
from respool.wire.limits import SEGMENT_SIZE
from respool.wire.segment import (
    DATA,
    NO_MARK,
    Mark,
    SegmentHeader,
    decode_header,
    decode_mark,
    encode_header,
    encode_mark,
    parse_segment_name,
    segment_name,
)

ROOT = "v1"


class SpoolBusyError(Exception):
    """Another daemon holds this spool."""


class SpoolUnusableError(Exception):
    """The spool's folder cannot be made, read or written."""


class Usage(NamedTuple):
    """Bytes in an attempt's folder, as allocated."""

    rows: int
    blobs: int


@contextmanager
def hold(spool: str) -> Iterator[str]:
    """Own a spool for as long as the block lasts; yields its real path.

    Raises SpoolBusyError, or SpoolUnusableError where the folder cannot be made or written.
    """
    root = os.path.join(os.path.realpath(spool), ROOT)
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        fd = os.open(os.path.join(root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolUnusableError(
            f"the spool {spool} cannot be used: {error}; choose another --spool"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise SpoolBusyError(
            f"another daemon holds the spool {spool}; stop it, or use another --spool"
        ) from error
    try:
        yield root
    finally:
        os.close(fd)


def attempt_directory(root: str, uid: int, attempt_id: str) -> str:
    return os.path.join(root, f"u{uid}", attempt_id)


def create_attempt(directory: str, file: AttemptFile) -> None:
    """Make an attempt's folder. On return it is durable, with its papers."""
    for folder in (os.path.dirname(directory), directory, os.path.join(directory, BLOBS)):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    write_json(os.path.join(directory, ATTEMPT_FILE), file._asdict())
    sync_directory(os.path.dirname(directory))
    sync_directory(os.path.dirname(os.path.dirname(directory)))


def read_attempt(directory: str) -> AttemptFile:
    """An attempt's papers. Raises FormatError for a folder that has none, or none we can read."""
    path = os.path.join(directory, ATTEMPT_FILE)
    try:
        with open(path, "rb") as file:
            return parse_attempt_file(json.load(file), path)
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: {error}") from error


def attempt_directories(folder: str) -> list[str]:
    """The attempts in a spool folder, the oldest first."""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        papers = [os.path.join(entry.path, ATTEMPT_FILE) for entry in entries]
        dated = [
            (os.stat(path).st_mtime_ns, os.path.dirname(path)) for path in papers if os.path.exists(path)
        ]
    except FileNotFoundError:
        return []
    return [path for _, path in sorted(dated)]


def sweep(directory: str) -> None:
    """Remove what a kill left half made: names ending in `.part` were never published."""
    for name in _names(directory):
        if name.endswith(".part"):
            with suppress(OSError):
                os.unlink(os.path.join(directory, name))


def tenants(root: str) -> list[tuple[int, str]]:
    """(uid, folder) of every user with something in the spool."""
    names = [entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[:1] == "u"]
    return [(int(name[1:]), os.path.join(root, name)) for name in names if name[1:].isdigit()]


def segments(directory: str) -> dict[int, list[int]]:
    """Writer -> its segments' indexes in order. Files of other names are nobody's."""
    found: dict[int, list[int]] = {}
    for name in os.listdir(directory):
        parsed = parse_segment_name(name)
        if parsed is not None:
            found.setdefault(parsed[0], []).append(parsed[1])
    return {writer: sorted(indexes) for writer, indexes in found.items()}


def create_segment(directory: str, attempt_id: str, writer: int, index: int, size: int = SEGMENT_SIZE) -> int:
    """A new fallocated segment's descriptor, open for reading and writing. Raises OSError (ENOSPC ...).

    Its name is durable on return, so the first record in it needs one fdatasync and nothing more.
    """
    header = encode_header(SegmentHeader(attempt_id, writer, index, time.time()))
    path = os.path.join(directory, segment_name(writer, index))
    part = path + ".part"
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        os.pwrite(fd, header, 0)
        os.fdatasync(fd)
        os.rename(part, path)
        sync_directory(directory)
    except OSError:
        os.close(fd)
        with suppress(OSError):
            os.unlink(part)
        raise
    return fd


def open_segment(directory: str, writer: int, index: int, *, write: bool) -> int:
    """An existing segment. Raises UnknownVersionError for one that a newer release wrote."""
    path = os.path.join(directory, segment_name(writer, index))
    fd = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        decode_header(os.pread(fd, DATA, 0), path)
    except UnknownVersionError:
        os.close(fd)
        raise
    except WireError:
        pass  # its name and folder say whose it is, and each frame behind the header is checked by itself
    return fd


def read_mark(fd: int) -> Mark:
    """The durable mark of a segment; NO_MARK where there is none."""
    try:
        return decode_mark(os.pread(fd, DATA, 0))
    except OSError:
        return NO_MARK


def write_mark(fd: int, mark: Mark | None) -> None:
    """Write a mark; it becomes durable with the sync that follows (`respool.wire.segment`)."""
    if mark is not None:
        at, data = encode_mark(mark)
        os.pwrite(fd, data, at)


def data_end(fd: int, start: int) -> int:
    """Where the data behind `start` end: a fallocated segment is mostly hole, and reading holes costs as much as
    reading data. Where the file system cannot tell, the end of the file.
    """
    end = start
    try:
        while True:
            end = os.lseek(fd, os.lseek(fd, end, os.SEEK_DATA), os.SEEK_HOLE)
    except OSError as error:
        return end if error.errno == errno.ENXIO else max(start, os.fstat(fd).st_size)


def cut_tail(directory: str, writer: int, index: int, offset: int) -> int:
    """Cut a torn tail; its bytes go to quarantine first. Returns how many there were."""
    path = os.path.join(directory, segment_name(writer, index))
    with open(path, "r+b") as file:
        end = data_end(file.fileno(), offset)
        torn = os.pread(file.fileno(), end - offset, offset).rstrip(b"\0")
        if torn:
            os.makedirs(os.path.join(directory, QUARANTINE), mode=0o700, exist_ok=True)
            write_bytes(os.path.join(directory, QUARANTINE, f"{segment_name(writer, index)}@{offset}"), torn)
        file.truncate(offset)
        os.fdatasync(file.fileno())
    return len(torn)


def delete_segment(directory: str, writer: int, index: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, segment_name(writer, index)))


def blob_path(directory: str, token: str) -> str:
    """Where a snapshot lies. Raises FormatError for a token that is no plain name."""
    if not token.replace("-", "").replace("_", "").isalnum() or not token.isascii():
        raise FormatError(f"blob token {token!r:.80} is not a plain name")
    return os.path.join(directory, BLOBS, token)


def create_blob(directory: str, token: str) -> int:
    """An empty snapshot's descriptor."""
    return os.open(blob_path(directory, token), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def blob_tokens(directory: str) -> list[str]:
    try:
        return os.listdir(os.path.join(directory, BLOBS))
    except FileNotFoundError:
        return []


def delete_blob(directory: str, token: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(blob_path(directory, token))


def write_progress(directory: str, progress: dict[str, Any]) -> None:
    """Save an attempt's progress, atomically; not synced, for losing it costs only duplicates."""
    body = codec.pack(progress)
    write_bytes(os.path.join(directory, PROGRESS_FILE), crc32(body).to_bytes(4, "little") + body, sync=False)


def read_progress(directory: str) -> dict[str, Any]:
    """An attempt's progress; empty when it is missing or damaged."""
    try:
        with open(os.path.join(directory, PROGRESS_FILE), "rb") as file:
            data = file.read()
        if crc32(data[4:]).to_bytes(4, "little") != data[:4]:
            return {}
        return codec.unpack_map(data[4:])
    except (OSError, WireError):
        return {}


def usage(directory: str) -> Usage:
    """What an attempt's folder occupies."""
    rows = sum(
        _allocated(os.path.join(directory, name)) for name in _names(directory) if name.endswith(".seg")
    )
    blobs = os.path.join(directory, BLOBS)
    return Usage(rows, sum(_allocated(os.path.join(blobs, name)) for name in _names(blobs)))


def delete_attempt(directory: str) -> None:
    """Remove an attempt's folder; its papers go last, so that a kill leaves something that says what it is."""
    for name in _names(directory):
        path = os.path.join(directory, name)
        if name != ATTEMPT_FILE:
            with suppress(FileNotFoundError):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    shutil.rmtree(directory, ignore_errors=True)


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


def node_name() -> str:
    return os.uname().nodename


def free_share(path: str) -> tuple[float, int]:
    """(share of the file system that is free for us, bytes of it)."""
    found = os.statvfs(path)
    return found.f_bavail / max(found.f_blocks, 1), found.f_bavail * found.f_frsize


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _allocated(path: str) -> int:
    try:
        return os.stat(path).st_blocks * 512
    except FileNotFoundError:
        return 0
