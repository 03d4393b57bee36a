"""Who may still have how much: the order in which a full spool refuses.

Files go first: a snapshot is refused when the user's blobs or the disk's floor would be exceeded. Rows have a
reserve of their own: a spare segment is refused only when the user's rows are at their cap, or when the disk is
down to half the floor, which files can never take it to.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from respool.wire.limits import BLOBS_QUOTA


class Room(NamedTuple):
    """What a user holds, what he may hold, and the disk: `free` bytes of `size`, `floor` a share of it."""

    rows: int
    blobs: int
    rows_cap: int
    blobs_cap: int
    free: int
    size: int
    floor: float


def refuse_segment(room: Room, size: int) -> str | None:
    """Why no further segment of `size` bytes is granted, or None."""
    if room.rows + size > room.rows_cap:
        return f"rows hold {_mib(room.rows)} of the {_mib(room.rows_cap)} this user may keep unsent"
    if room.free - size < room.size * room.floor / 2:
        return f"the spool's disk has {_mib(room.free)} left, which is its floor"
    return None


def refuse_blob(room: Room, size: int) -> str | None:
    """Why a snapshot of `size` bytes is not taken, with how much is missing; or None."""
    over, short = _over(room, size), _short(room, size)
    if over > 0:
        return (
            f"this user's files hold {_mib(room.blobs)} of the {_mib(room.blobs_cap)} allowed; "
            f"{_lacking(over)} are missing"
        )
    if short > 0:
        return f"the spool's disk must keep {100 * room.floor:.3g}% free; {_lacking(short)} are missing"
    return None


def lacking(room: Room, size: int) -> int:
    """Bytes that would have to go for a snapshot of `size` bytes; 0 where it fits."""
    return max(0, _over(room, size), _short(room, size))


def _over(room: Room, size: int) -> int:
    return room.blobs + size - room.blobs_cap


def _short(room: Room, size: int) -> int:
    return ceil(room.size * room.floor) - (room.free - size)


def blobs_cap(configured: int, free: int) -> int:
    """The cap for files: as configured, else a fifth of what was free at start, 50 GiB at most."""
    return configured or min(free // 5, BLOBS_QUOTA)


def _lacking(size: int) -> str:
    """Never less than it is."""
    return f"{-(-size * 10 // (1 << 20)) / 10:.1f} MiB"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
