"""How much a spool without a daemon may hold: the daemon's own caps, for there is nobody else to keep them.

Counted over the whole folder, what earlier runs left included, each time room is asked for: every segment, every
file. What counts is what is allocated. `respool sync` makes room.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from respool.environment import read
from respool.wire.attempt import BLOBS
from respool.wire.limits import BLOBS_QUOTA, FREE_FLOOR, ROWS_QUOTA

_BLOCK = 512
_SHARE_OF_FREE = 5


def refuse_rows(spool: str, size: int) -> str | None:
    """Why a segment of `size` bytes may not be added, or None. Raises OSError."""
    cap = read(os.environ).rows_quota or ROWS_QUOTA
    held = sum(_allocated(folder, ".seg") for folder in _attempts(spool))
    if held + size <= cap:
        return None
    return (
        f"the quota for rows is used up: {spool} holds {_mib(held)} of {_mib(cap)}; `respool sync` makes room"
    )


def refuse_blob(spool: str, size: int) -> str | None:
    """Why a file of `size` bytes may not be added, or None. Raises OSError."""
    short, over, free, held, cap = _measured(spool, size)
    if short > 0:
        floor = _free_floor()
        return f"the disk of {spool} must keep {percent(floor)} free, and has {_mib(free)}; {_missing(short)} missing"
    if over <= 0:
        return None
    allowed = f"files in {spool} hold {_mib(held)} of the {_mib(cap)} allowed"
    return f"{allowed}; {_missing(over)} missing; `respool sync` makes room"


def lacking(spool: str, size: int) -> int:
    """Bytes that would have to go for a file of `size` bytes; 0 where it fits. Raises OSError."""
    return max(0, *_measured(spool, size)[:2])


def _measured(spool: str, size: int) -> tuple[int, int, int, int, int]:
    """What the disk and the quota lack for `size` bytes more; what the disk has free; what files hold, and may."""
    disk = os.statvfs(spool)
    free = disk.f_bavail * disk.f_frsize
    held = sum(_allocated(os.path.join(folder, BLOBS), "") for folder in _attempts(spool))
    cap = read(os.environ).blobs_quota or min(BLOBS_QUOTA, (free + held) // _SHARE_OF_FREE)
    short = int(disk.f_blocks * disk.f_frsize * _free_floor()) - (free - size)
    return short, held + size - cap, free, held, cap


def rows_floor() -> float:
    """The share of a disk that rows leave free: half of what files do, so that rows go on where files stop."""
    return _free_floor() / 2


def percent(share: float) -> str:
    """2.5% for 0.025."""
    return f"{100 * share:.3g}%"


def _free_floor() -> float:
    configured = read(os.environ).free_floor
    return FREE_FLOOR if configured is None else configured


def _missing(size: int) -> str:
    """Never less than it is."""
    return f"{-(-size // (1 << 20))} MiB are"


def _attempts(spool: str) -> Iterator[str]:
    with os.scandir(spool) as entries:
        yield from (entry.path for entry in entries if entry.is_dir(follow_symlinks=False))


def _allocated(folder: str, ending: str) -> int:
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(ending):
                    total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
    except OSError:  # an adopter may be removing it
        return total
    return total


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"
