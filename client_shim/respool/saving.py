"""`run.save()`: which files a path or pattern means, what they are called in the run, and their snapshots.

Every policy takes a snapshot before save() returns; `later_versions` knows of the further ones. What makes it a
version of the file is the FILE record, written after the last byte: a kill before it leaves nothing visible, after
it everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, NamedTuple

from respool import notices
from respool.blobs import SnapshotError, open_source, snapshot
from respool.later_versions import stamp_of
from respool.link import close_all
from respool.local_quota import refuse_blob
from respool.tether import Tether
from respool.wire.attempt import BLOBS
from respool.wire.file_messages import BlobGrant, BlobRequest
from respool.wire.limits import MAX_NAME
from respool.wire.settling import Stamp

POLICIES = ("live", "now", "end")
GRANT_SECONDS = 5.0
OWN_SECONDS = 1.0
DEAF_SECONDS = 30.0
_SHORT = 200
"""Bytes that are kept of a name that cannot be kept."""
LARGE = 1 << 30
"""Bytes from which a copy, where the file system makes no reflink, is worth a line."""


class Grant(NamedTuple):
    """Room for one snapshot: an empty open file, which the taker closes, and the name a FILE record gives it.
    `path` is known where we made it ourselves and must remove it if nothing comes of it.
    """

    fd: int
    token: str
    path: str | None = None


class Saved(NamedTuple):
    """A snapshot that only lacks its FILE record, which names `token`. `stamp`: the file as it was then."""

    record: dict[str, object]
    path: str
    stamp: Stamp
    token: str


def matches(pattern: str, *, literal: bool = False) -> list[str]:
    """The files that a path or pattern means, sorted. Folders are left out of a pattern's matches, not of a
    plain path: that one is for the caller to complain about.
    """
    import glob  # noqa: PLC0415 - brings `re`, which `import respool` must not

    if literal or os.path.lexists(pattern) or not glob.has_magic(pattern):
        return [pattern]
    return sorted(path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path))


def name_in_run(path: str, base: str | None, run_dir: str) -> str:
    """The file's name inside the run: its path below `base`, else below the run's folder or the working
    directory; outside of these its last part. `./x` and `x` are one name.
    """
    full = os.path.abspath(path)
    for folder in [base] if base is not None else [run_dir, os.getcwd()]:
        name = os.path.relpath(full, os.path.abspath(folder))
        if name != ".." and not name.startswith("../"):
            return _text(name)
    return _text(os.path.basename(full))


def normal_name(name: str) -> str:
    """The one spelling of a name inside a run. Raises ValueError for one that leads out of it."""
    plain = os.path.normpath(name).lstrip("/")
    if plain in {"", ".", ".."} or plain.startswith("../") or "\0" in plain:
        raise ValueError(name)
    return _text(plain)


def own_file_name(checkpoint: str, parts: Iterable[str]) -> str:
    """Where the own file of a checkpoint goes among its `parts`: it has its name, unless one of them is called so, or
    lies in a folder that is. Raises ValueError for a name that leads out.
    """
    name = normal_name(checkpoint)
    taken = any(part == name or part.startswith(f"{name}/") for part in parts)
    return f"{name}-own" if taken else name


def possible_name(name: Any, default: str) -> tuple[str, bool]:
    """The one spelling of a checkpoint's or a part's name, and whether it is what was asked for: of one that leads out,
    is too long or is no text, what can be kept of it.
    """
    try:
        plain = normal_name(name)
        if len(plain.encode()) <= MAX_NAME:
            return plain, True
    except (TypeError, ValueError):
        plain = str(name).replace("\0", "")
    last = _text(os.path.basename(plain)).encode()[:_SHORT].decode(errors="ignore")
    return (default if last in {"", ".", ".."} else last), False


def take(path: str, name: str, policy: str, grant: Callable[[str, int], Grant]) -> Saved:
    """Snapshot one file. Raises SnapshotError when there is no whole copy; nothing is left behind then."""
    if len(name.encode()) > MAX_NAME:
        raise SnapshotError(f"its name in the run has more than {MAX_NAME} bytes")
    source = open_source(path)
    try:
        status = os.fstat(source)
        room = grant(name, status.st_size)
        begin = monotonic()
        try:
            size, how = snapshot(source, room.fd)
        except SnapshotError:
            if room.path is not None:
                os.unlink(room.path)
            raise
        finally:
            os.close(room.fd)
    finally:
        os.close(source)
    seconds = monotonic() - begin
    if size > LARGE and how != "reflink":
        _say_slow(path, size, seconds)
    record = {
        "name": name,
        "blob": room.token,
        "size": size,
        "policy": policy,
        "mtime": status.st_mtime,
        "how": how,
    }
    return Saved(record, path, stamp_of(status), room.token)


class Room:
    """Where snapshots go: to the daemon's descriptor, or straight into the attempt's folder when that is ours."""

    def __init__(self, directory: str, tether: Tether | None) -> None:
        self._directory = directory
        self._tether = tether
        self._count = 0
        self._deaf_until = 0.0

    def grant(self, name: str, size: int) -> Grant:
        """Raises SnapshotError when there is no room or nobody to ask. A daemon that hangs costs a second once in
        DEAF_SECONDS, or five where only it may write to the spool.
        """
        if self._tether is not None and not self.deaf:
            answer = self._tether.ask(BlobRequest(name, size), OWN_SECONDS if self._ours() else GRANT_SECONDS)
            if answer is None:
                self.unheard()
            if answer is not None and isinstance(answer.message, BlobGrant):
                close_all(answer.fds[1:])
                if answer.fds:
                    return Grant(answer.fds[0], answer.message.token)
                raise SnapshotError(answer.message.error or "the daemon has no room for it")
        return self._own(size)

    @property
    def deaf(self) -> bool:
        """Whether the daemon hung a moment ago: it is not waited for again so soon."""
        return monotonic() < self._deaf_until

    def unheard(self) -> None:
        """The daemon gave no answer."""
        self._deaf_until = monotonic() + DEAF_SECONDS
        if self._tether is not None and not self._tether.away:
            notices.warn(
                "deaf",
                "the daemon does not answer: files and checkpoints are kept without it, and it is asked again in "
                f"{DEAF_SECONDS:.0f} s. See `respool status`.",
            )

    def _ours(self) -> bool:
        try:
            return bool(self._directory) and os.stat(self._directory).st_uid == os.getuid()
        except OSError:
            return False

    def _own(self, size: int) -> Grant:
        folder = os.path.join(self._directory, BLOBS)
        try:
            if not self._ours():
                raise SnapshotError("the daemon is away, and its spool is not ours to write")
            refusal = refuse_blob(os.path.dirname(self._directory), size)
            if refusal is not None:
                raise SnapshotError(refusal)
            while True:
                self._count += 1
                token = f"w0-{os.getpid():x}-{self._count:x}"
                path = os.path.join(folder, token)
                try:
                    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                    return Grant(os.open(path, flags, 0o600), token, path)
                except FileExistsError:
                    continue
        except OSError as error:
            raise SnapshotError(f"the spool {folder} cannot be written: {error.strerror}") from error


def complain(path: str, error: SnapshotError) -> None:
    """One warning per file and cause."""
    notices.warn(
        f"save {path} {error}", f"save({path!r}): {error}; no version of it was kept. Training goes on."
    )


def _say_slow(path: str, size: int, seconds: float) -> None:
    """One line per file: the copy was waited for."""
    notices.warn(
        f"slow {path}",
        f"save({path!r}) copied {size / LARGE:.1f} GiB in {seconds:.1f} s: this file system has no reflinks. "
        "`with run.checkpoint(step) as file: torch.save(state, file)` writes once and copies nothing.",
    )


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
