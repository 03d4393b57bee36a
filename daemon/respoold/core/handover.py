"""Handing an attempt over: which files of its folder a client may pass, and what the daemon says to it."""

from __future__ import annotations

from enum import StrEnum

from respool.wire.attempt import BLOBS, AttemptFile, parse_attempt_file, parse_request
from respool.wire.errors import FormatError
from respool.wire.segment import parse_segment_name

MAX_TOKEN = 128
_HEX = frozenset("0123456789abcdef")
_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Held(StrEnum):
    """How an attempt stands with a daemon: UNKNOWN, PARTLY there, KEPT durably, or COMPLETE at the hub."""

    UNKNOWN = "unknown"
    PARTLY = "partly"
    KEPT = "kept"
    COMPLETE = "complete"


def paper_of(values: object, uid: int) -> AttemptFile:
    """The attempt as the daemon will write it down: the kernel's word for whose it is. Raises FormatError."""
    paper = parse_attempt_file(values, "the paper")
    parse_request(paper.request)
    if len(paper.attempt_id) != 32 or not _HEX.issuperset(paper.attempt_id):
        raise FormatError(f"the paper: {paper.attempt_id!r:.60} is no attempt id")
    return paper._replace(uid=uid, offline=True, number=None)


def is_token(token: str) -> bool:
    """Whether a client's word for a snapshot is a plain name, which leads nowhere else."""
    return 0 < len(token) <= MAX_TOKEN and _TOKEN.issuperset(token)


def is_blob(name: str) -> bool:
    """Whether a name inside an attempt's folder is that of a snapshot."""
    folder, slash, token = name.partition("/")
    return folder == BLOBS and bool(slash) and is_token(token)


def check_name(name: object) -> str:
    """A name inside an attempt's folder that may be passed. Raises FormatError."""
    if isinstance(name, str):
        stem, _, ending = name.rpartition(".")
        paper = ending == "json" and stem[:1] == "w" and stem[1:].isdecimal() and len(stem) < 10
        if paper or is_blob(name) or parse_segment_name(name) is not None:
            return name
    raise FormatError(f"{name!r:.60} is no file of an attempt")
