"""The spool without a daemon: the shim makes the attempt's folder and segments itself, in the same format.

Order of making, so that a kill at any point leaves nothing that misleads: folder (0700), attempt.json (written
aside, synced, renamed, folder synced), segments (fallocated, header, then frames). The folder is registered
where the user's own daemon looks: `$XDG_STATE_HOME/respool/spools/`, one file per spool, its path inside.
"""

from __future__ import annotations

import errno
import json
import os
import time
from hashlib import blake2b

from respool import notices
from respool.segment_writer import Opened
from respool.state_file import replace_file, sync_folder
from respool.wire.attempt import ATTEMPT_FILE, BLOBS, AttemptFile
from respool.wire.limits import FREE_FLOOR, SEGMENT_SIZE
from respool.wire.segment import DATA, SegmentHeader, encode_header, segment_name

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENOSPC, errno.EDQUOT})


class LocalSpool:
    """A Supply that makes segments in an attempt's folder. `open_attempt` makes one."""

    synced_by_daemon = False
    full = False

    def __init__(self, directory: str, attempt_id: str) -> None:
        self.directory = directory
        self._attempt_id = attempt_id

    def take(self, segment: int) -> Opened | None:
        """A new segment, or None when the disk has no room for one."""
        try:
            disk = os.statvfs(self.directory)
            if segment and disk.f_bavail < disk.f_blocks * FREE_FLOOR:
                return None
            return self.create(segment)
        except OSError:
            return None

    def create(self, segment: int) -> Opened:
        """A new segment. Raises OSError when not even its header can be written."""
        path = os.path.join(self.directory, segment_name(0, segment))
        fd = os.open(path, _NEW, 0o600)
        try:
            _allocate(fd)
            header = encode_header(SegmentHeader(self._attempt_id, 0, segment, time.time()))
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


def open_attempt(spool: str, file: AttemptFile) -> tuple[LocalSpool, Opened]:
    """Make an attempt's folder in `spool` with its first segment. Raises OSError when that cannot be."""
    directory = os.path.join(spool, file.attempt_id)
    os.makedirs(spool, mode=0o700, exist_ok=True)
    os.mkdir(directory, 0o700)
    os.mkdir(os.path.join(directory, BLOBS), 0o700)
    replace_file(os.path.join(directory, ATTEMPT_FILE), json.dumps(file._asdict()).encode())
    sync_folder(spool)
    made = LocalSpool(directory, file.attempt_id)
    return made, made.create(0)


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
    """Say so when the disk is already so full that only the first segment will be had."""
    disk = os.statvfs(spool)
    if disk.f_bavail < disk.f_blocks * FREE_FLOOR:
        notices.warn(
            "scarce",
            f"less than {FREE_FLOOR:.0%} of the disk of {spool} is free: after {SEGMENT_SIZE >> 20} MiB rows will be "
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
