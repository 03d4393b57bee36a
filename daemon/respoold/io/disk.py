"""The spool on disk: its folders, and the papers of the attempts in them.

    SPOOL/v1/lock                       flock: a second daemon on the same spool is refused
    SPOOL/v1/u<uid>/ATTEMPT_ID/         one attempt (`respool.wire.attempt`)
    SPOOL/v1/u<uid>/journal/RUN.json    what this node remembers of a run (`respoold.io.journal`)
    SPOOL/v1/adopted/ATTEMPT_ID/        the progress of an attempt that lies elsewhere and is not over

Every function here blocks; tasks call the slow ones in a thread. A name is published by rename or link and then
its folder is synced, so after a power cut it is either all there or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from zlib import crc32

from respool.wire import codec
from respool.wire.attempt import (
    ATTEMPT_FILE,
    BLOBS,
    PROGRESS_FILE,
    AttemptFile,
    WriterFile,
    parse_attempt_file,
    parse_writer_file,
    writer_file_name,
)
from respool.wire.errors import FormatError, WireError
from respoold.io.files import allocated, names, sync_directory, write_bytes, write_json

ROOT = "v1"
JOURNAL = "journal"
ADOPTED = "adopted"
HANDED = ".handed-over"


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


def make_folders(directory: str) -> None:
    """Make an attempt's folder. Without papers it is nobody's, and removed at the next start."""
    for folder in (os.path.dirname(directory), directory, os.path.join(directory, BLOBS)):
        os.makedirs(folder, mode=0o700, exist_ok=True)


def create_attempt(directory: str, file: AttemptFile) -> None:
    """Make an attempt's folder, if need be, and write its papers. Durable on return."""
    make_folders(directory)
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


def read_foreign(directory: str) -> AttemptFile:
    """The papers in a folder that is not a daemon's own. Whose it is the kernel says: they may have been written
    anywhere, by anybody. Raises FormatError.
    """
    try:
        return read_attempt(directory)._replace(uid=os.stat(directory).st_uid)
    except OSError as error:
        raise FormatError(f"{directory}: {error}") from error


def write_writer(directory: str, paper: WriterFile) -> None:
    """Write a further writer's paper. Durable on return."""
    write_json(os.path.join(directory, writer_file_name(paper.writer)), paper._asdict())
    sync_directory(directory)


def read_writers(directory: str) -> list[WriterFile]:
    """The papers of an attempt's further writers; one that cannot be read is passed over."""
    found = []
    for name in names(directory):
        if name[:1] == "w" and name.endswith(".json") and name[1:-5].isdigit():
            with suppress(OSError, ValueError, RecursionError, FormatError):
                with open(os.path.join(directory, name), "rb") as file:
                    paper = parse_writer_file(json.load(file), name)
                if name == writer_file_name(paper.writer):
                    found.append(paper)
    return found


def delete_writer(directory: str, writer: int) -> None:
    """Remove what was made for a writer that never began: its segments, then its paper."""
    made = [name for name in names(directory) if name.startswith(f"w{writer}-")]
    for name in [*made, writer_file_name(writer)]:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, name))


def attempts_in(spool: str) -> list[str]:
    """The attempts' folders in a folder of attempts, in a daemon's spool, or the folder itself if it is one."""
    folder = os.path.realpath(spool)
    if os.path.exists(os.path.join(folder, ATTEMPT_FILE)):
        return [folder]
    kept = os.path.join(folder, ROOT)
    folders = [path for _, path in tenants(kept)] if os.path.isdir(kept) else [folder]
    return [one for each in folders for one in attempt_directories(each)]


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


def sweep(folder: str) -> None:
    """Remove what a kill left half made in a user's folder: attempts without papers, and names ending in `.part`,
    which were never published.
    """
    for name in names(folder):
        directory = os.path.join(folder, name)
        if name != JOURNAL and os.path.isdir(directory) and ATTEMPT_FILE not in names(directory):
            delete_attempt(directory)
        for part in names(directory):
            if part.endswith(".part"):
                with suppress(OSError):
                    os.unlink(os.path.join(directory, part))


def tenants(root: str) -> list[tuple[int, str]]:
    """(uid, folder) of every user with something in the spool."""
    names = [entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[:1] == "u"]
    return [(int(name[1:]), os.path.join(root, name)) for name in names if name[1:].isdigit()]


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


def notes_folder(root: str, attempt_id: str) -> str:
    """Where the progress of an adopted attempt is kept while its own folder is only read."""
    return os.path.join(root, ADOPTED, attempt_id)


def make_notes(root: str, attempt_id: str) -> str:
    folder = notes_folder(root, attempt_id)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def drop_notes(root: str, attempt_id: str) -> None:
    shutil.rmtree(notes_folder(root, attempt_id), ignore_errors=True)


def note_handed_over(root: str, uid: int, attempt_id: str) -> None:
    """Write down that this user's attempt was taken over. Durable on return."""
    folder = os.path.join(root, f"u{uid}", JOURNAL)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    write_bytes(os.path.join(folder, f"{attempt_id}{HANDED}"), b"")


def was_handed_over(root: str, uid: int, attempt_id: str) -> bool:
    """Whether it was taken over once: if it is not here any more, the hub has all of it."""
    return os.path.exists(os.path.join(root, f"u{uid}", JOURNAL, f"{attempt_id}{HANDED}"))


def usage(directory: str) -> Usage:
    """What an attempt's folder occupies."""
    rows = sum(allocated(os.path.join(directory, name)) for name in names(directory) if name.endswith(".seg"))
    blobs = os.path.join(directory, BLOBS)
    return Usage(rows, sum(allocated(os.path.join(blobs, name)) for name in names(blobs)))


def delete_attempt(directory: str) -> None:
    """Remove an attempt's folder; its papers go last, so that a kill leaves something that says what it is."""
    for name in names(directory):
        path = os.path.join(directory, name)
        if name != ATTEMPT_FILE:
            with suppress(FileNotFoundError):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    shutil.rmtree(directory, ignore_errors=True)


def node_name() -> str:
    return os.uname().nodename
