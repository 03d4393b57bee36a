"""One version of a file that a trainer handed over, and how far it got."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Blob(StrEnum):
    """Where one version of a file stands. SKIPPED: a newer version of the same name replaced it unsent."""

    PENDING = "pending"
    SENT = "sent"
    SKIPPED = "skipped"
    MISSING = "missing"


class FileVersion(NamedTuple):
    """A FILE record: a snapshot that was handed over, `how` it was made, and how far it got."""

    token: str
    name: str
    size: int
    writer: int
    seq: int
    step: int
    time: float
    digest: str = ""
    state: Blob = Blob.PENDING
    at: float = 0.0
    how: str = ""
