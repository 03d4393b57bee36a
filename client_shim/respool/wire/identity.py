"""Names: what a run id may look like, how an attempt gets its id, what a process is called.

An attempt id is derived, so that every rank, every retry and every lost answer names the same attempt, on any
node and with nobody asked: 16 bytes of BLAKE2b over the run, the launch and the generation, as hexadecimal. The
generation counts the attempts of one launch in one run: a process whose slot was already used by another one, or
whose attempt is over, begins the next.
"""

from __future__ import annotations

from typing import NamedTuple

from respool.wire.limits import MAX_RUN_ID

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
MAX_PROJECT = 128
FIRST_JOINED = 1 << 16
"""Writers below are ranks of the launch; from here on they came without a rank, or by join=True."""

WRITERS = 1 << 20
"""Writers are numbered below this."""


class BadNameError(ValueError):
    """A name that cannot be used; the text says why and what to use instead."""


class Process(NamedTuple):
    """A process that cannot be mistaken for another: pids are reused, these three together are not."""

    boot_id: str
    pid: int
    start_time: int


def run_id_of(original: str) -> str:
    """The run id of a spelling: each character outside [A-Za-z0-9_-] becomes `-`.

    Raises BadNameError for an empty one and for one of more than 64 characters.
    """
    if not original or len(original) > MAX_RUN_ID:
        count = len(original)
        raise BadNameError(
            f"run id {original[:80]!r} has {count} characters; use 1 to {MAX_RUN_ID} of [A-Za-z0-9_-]"
        )
    return spelled(original)


def spelled(text: str) -> str:
    """`text` with each character outside [A-Za-z0-9_-] replaced by `-`."""
    return "".join(letter if letter in _ALLOWED else "-" for letter in text)


def project_of(original: str, what: str = "project") -> str:
    """The name of a project, or of `what` else is named like one: `/`, NUL and control characters are refused, as are
    `.` and `..`.
    """
    bad = [letter for letter in original if letter in "/\\#?%:" or ord(letter) < 32]
    if not original or len(original) > MAX_PROJECT or bad or original in {".", ".."}:
        raise BadNameError(
            f"{what} {original[:80]!r} cannot be used; take 1 to {MAX_PROJECT} characters without / \\ # ? % :"
        )
    return original


def attempt_id_of(project: str, run_id: str, launch: str, generation: int) -> str:
    """The id of an attempt: 32 hexadecimal digits."""
    return digest_of("attempt", project, run_id, launch, str(generation)).hex()


def joined_writer(incarnation: str, tries: int = 0) -> int:
    """The slot of a process without a rank: the same for every retry, and with nobody asked for a free one.
    `tries` counts the slots that turned out to be taken.
    """
    found = int.from_bytes(digest_of("writer", incarnation, str(tries))[:8], "little")
    return FIRST_JOINED + found % (WRITERS - FIRST_JOINED)


def digest_of(*parts: str) -> bytes:
    """16 bytes of BLAKE2b over `parts`, which hold no NUL."""
    try:
        from _blake2 import blake2b  # noqa: PLC0415 - hashlib loads OpenSSL: 3 ms of an init()
    except ImportError:  # an interpreter that keeps it elsewhere
        from hashlib import blake2b  # noqa: PLC0415 - as above

    return blake2b("\0".join(parts).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def split_run_path(path: str) -> tuple[str | None, str | None, str]:
    """`[[ENTITY/]PROJECT/]RUN_ID` as (entity, project, run_id). Raises BadNameError for more parts."""
    parts = path.strip("/").split("/")
    if len(parts) > 3 or not all(parts):
        raise BadNameError(f"run {path!r}: write RUN_ID, PROJECT/RUN_ID or ENTITY/PROJECT/RUN_ID")
    padded: list[str | None] = [None] * (3 - len(parts)) + list(parts)
    return padded[0], padded[1], str(padded[2])
