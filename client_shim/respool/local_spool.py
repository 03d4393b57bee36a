"""The spool without a daemon: the shim makes the attempt's folder and segments itself, in the same format.

Order of making, so that a kill at any point leaves nothing that misleads: folder (0700), a paper (written aside,
synced, linked to its name, folder synced), segments (fallocated, header, then frames). The paper is the claim, and
who links it first has it, on a shared file system too: `attempt.json` speaks for the process that makes the
attempt, `w3.json` for a further one in slot 3. The folder is registered
where the user's own daemon looks: `$XDG_STATE_HOME/respool/spools/`, one file per spool, its path inside.

Nobody syncs it while the run goes on, unless a daemon adopts it: what a power cut costs is what the kernel had not
written back by itself, up to half a minute. A sync in passing, once a second, was measured at 0.6 ms (p99 7 ms) on
a local disk, and is many times that on a network file system: the training loop would wait for it. flush(hub=False)
and finish() sync.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from hashlib import blake2b
from time import monotonic

from respool import notices, spool_papers
from respool.local_quota import percent, refuse_rows, rows_floor
from respool.segment_writer import Opened
from respool.state_file import replace_file, sync_folder
from respool.util import generate_id
from respool.wire.attempt import (
    ATTEMPT_FILE,
    BLOBS,
    AttemptFile,
    WriterFile,
    parse_request,
    writer_file_name,
)
from respool.wire.limits import SEGMENT_SIZE
from respool.wire.segment import DATA, SegmentHeader, encode_header, segment_name

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENOSPC, errno.EDQUOT})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


_ASK_AGAIN_SECONDS = 1.0
"""Between two counts of what is there: each row that finds no room would cost one."""


class LocalSpool:
    """A Supply that makes segments in an attempt's folder. `open_attempt` makes one."""

    synced_by_daemon = False

    def __init__(self, directory: str, attempt_id: str, writer: int = 0) -> None:
        self.directory = directory
        self._attempt_id = attempt_id
        self._writer = writer
        self.full = False
        self._ask_again = 0.0

    def take(self, segment: int) -> Opened | None:
        """A new segment, or None when the disk has no room for one, or (`full`) the quota has none."""
        if monotonic() < self._ask_again:
            return None
        try:
            disk = os.statvfs(self.directory)
            if segment and disk.f_bavail < disk.f_blocks * rows_floor():
                return None
            self.full = refuse_rows(os.path.dirname(self.directory), SEGMENT_SIZE) is not None
            if self.full:
                self._ask_again = monotonic() + _ASK_AGAIN_SECONDS
                return None
            return self.create(segment)
        except OSError:
            return None

    def create(self, segment: int) -> Opened:
        """A new segment. Raises OSError when not even its header can be written."""
        path = os.path.join(self.directory, segment_name(self._writer, segment))
        fd = os.open(path, _NEW, 0o600)
        try:
            _allocate(fd)
            header = encode_header(SegmentHeader(self._attempt_id, self._writer, segment, time.time()))
            if os.pwrite(fd, header, 0) != DATA:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - one way to clean up
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise
        return Opened(fd, segment, SEGMENT_SIZE)

    def rolled(self, segment: int) -> None:
        """Nobody needs to be told."""

    def sync(self) -> None:
        """Make the names in the attempt's folder durable."""
        sync_folder(self.directory)


class SlotTakenError(Exception):
    """Another process has this slot of this attempt."""


def open_attempt(spool: str, file: AttemptFile, paper: WriterFile) -> tuple[LocalSpool, Opened]:
    """Take the slot of `paper` in an attempt, with a first segment. If `file` names the same slot, the attempt is
    to be made by this process. Raises SlotTakenError when another was first, and OSError when it cannot be.
    """
    directory = os.path.join(spool, file.attempt_id)
    for folder in (spool, directory, os.path.join(directory, BLOBS)):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    made = _put(os.path.join(directory, ATTEMPT_FILE), file)
    if made:
        sync_folder(spool)
    if file.request.get("writer") != paper.writer:
        _join(directory, paper)
    elif not made:
        raise SlotTakenError(paper.writer)
    kept = LocalSpool(directory, file.attempt_id, paper.writer)
    try:
        return kept, kept.create(0)
    except FileExistsError:
        raise SlotTakenError(paper.writer) from None


def _join(directory: str, paper: WriterFile) -> None:
    """Take a slot beside that of the process that made the attempt. Raises SlotTakenError."""
    found = spool_papers.attempt_file(directory)
    maker = -1 if found is None else parse_request(found.request).writer
    if maker == paper.writer or not _put(os.path.join(directory, writer_file_name(paper.writer)), paper):
        raise SlotTakenError(paper.writer)


def _put(path: str, paper: AttemptFile | WriterFile) -> bool:
    """Put a paper at `path`, durably, unless there is one: False then."""
    if os.path.exists(path):
        return False
    aside = f"{path}.{generate_id()}.tmp"
    fd = os.open(aside, _NEW, 0o600)
    try:
        try:
            os.write(fd, json.dumps(paper._asdict()).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        return _linked(aside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


def _linked(aside: str, path: str) -> bool:
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Two that come at the very same moment both believe it; their segments' names are taken once only.
        os.replace(aside, path)
    sync_folder(os.path.dirname(path))
    return True


def register(spool: str, environ: dict[str, str]) -> None:
    """Tell the user's own daemon where this spool is. A home that cannot be written is no matter: `respool
    sync` takes a path.
    """
    home = environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    real = os.path.realpath(spool)
    name = blake2b(os.fsencode(real), digest_size=16).hexdigest()
    path = os.path.join(home, "respool", "spools", name)
    try:
        if not os.path.exists(path):
            replace_file(path, os.fsencode(real))
    except OSError:
        pass


def warn_when_scarce(spool: str) -> None:
    """Say so when the disk or the quota is already so full that only the first segment will be had."""
    over = refuse_rows(spool, SEGMENT_SIZE)
    if over is not None:
        notices.warn("scarce", f"{over}. After {SEGMENT_SIZE >> 20} MiB rows will be dropped and counted.")
    disk, floor = os.statvfs(spool), rows_floor()
    if disk.f_bavail < disk.f_blocks * floor:
        notices.warn(
            "scarce",
            f"less than {percent(floor)} of the disk of {spool} is free: after {SEGMENT_SIZE >> 20} MiB rows will be "
            "dropped and counted. Free space, or set RESPOOL_SPOOL_DIR to another disk.",
        )


def _allocate(fd: int) -> None:
    """Blocks ahead, so that a full disk is met here and not by a row; where that cannot be had, without."""
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is None:
        return
    try:
        allocate(fd, 0, SEGMENT_SIZE)
    except OSError as error:
        if error.errno not in _NO_FALLOCATE:
            raise
