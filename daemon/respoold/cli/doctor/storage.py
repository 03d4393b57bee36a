"""Where runs would be kept: what kind of disk, how full, and whether it outlasts the job."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping

from respool.mounts import is_fleeting, is_shared, kind_of
from respoold.cli import words
from respoold.cli.doctor.finding import Finding, Level

SHORT = 1 << 30


def spool(
    folder: str, *, of_daemon: bool, floor: float, table: str = "/proc/self/mountinfo"
) -> Iterator[Finding]:
    """What is to be said of a spool's folder, which need not be there yet. `floor`: the share of its disk that files
    leave free.
    """
    there = _existing(folder)
    kind = kind_of(there, table)
    whose = "The daemon's spool" if of_daemon else "Without a daemon the spool"
    if not os.access(there, os.W_OK) and not of_daemon:
        cause = f"{whose} {folder} cannot be made: you may not write to {there}."
        yield Finding(Level.BAD, "spool", cause, "Start in another folder, or set RESPOOL_SPOOL_DIR.")
        return
    problems = [
        *_kind(whose, folder, kind),
        *_temporary(whose, folder),
        *_room(there, floor),
    ]
    yield from problems or [Finding(Level.GOOD, "spool", f"{whose} is {folder} ({kind or 'disk'}).")]


def _existing(folder: str) -> str:
    path = os.path.realpath(folder)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def _kind(whose: str, folder: str, kind: str) -> Iterator[Finding]:
    if is_fleeting(kind):
        cause = f"{whose} {folder} is on {kind}: it is gone with the container or the machine."
        advice = "Put it on a disk that stays: RESPOOL_SPOOL_DIR, or --spool of the daemon."
        yield Finding(Level.WARN, "spool", cause, advice)
    elif is_shared(kind):
        cause = (
            f"{whose} {folder} is on a network file system ({kind}): slower, and no daemon hears of changes."
        )
        advice = "Prefer a local disk with RESPOOL_SPOOL_DIR; leave it if jobs have no other disk that stays."
        yield Finding(Level.WARN, "spool", cause, advice)


def _temporary(whose: str, folder: str) -> Iterator[Finding]:
    real = os.path.realpath(folder) + "/"
    for place in {"/tmp", "/var/tmp", os.path.realpath(tempfile.gettempdir())}:  # noqa: S108 - to be warned of
        if real.startswith(place + "/"):
            cause = f"{whose} {folder} is below {place}, which is emptied at will."
            yield Finding(Level.WARN, "spool", cause, "Start in another folder, or set RESPOOL_SPOOL_DIR.")
            return


def _room(there: str, floor: float) -> Iterator[Finding]:
    disk = os.statvfs(there)
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    left, limit = f"{words.size(free)} free of {words.size(size)}", f"{100 * floor:.3g}%"
    if size and free < floor * size:
        lost = (
            "rows would be dropped" if free < floor * size / 2 else "files and checkpoints would be refused"
        )
        advice = f"Keep {limit} free, use another disk, or set RESPOOL_FREE_FLOOR to less."
        yield Finding(Level.BAD, "disk", f"The disk of {there} has {left}: {lost}.", advice)
    elif size and (free < 2 * floor * size or free < SHORT):
        cause = f"The disk of {there} is nearly full: {left}."
        yield Finding(
            Level.WARN,
            "disk",
            cause,
            f"Below {limit} free no file is kept any more, below half of it no row.",
        )
    if disk.f_files and disk.f_favail < 1000:
        cause = f"The disk of {there} has {disk.f_favail} free inodes."
        yield Finding(Level.BAD, "disk", cause, "Remove small files, or use another disk.")


def local_spool(environ: Mapping[str, str]) -> str:
    """Where a process that starts here without a daemon keeps its attempts."""
    named = environ.get("RESPOOL_SPOOL_DIR")
    return named or os.path.join(environ.get("WANDB_DIR") or os.getcwd(), "respool", "spool")
