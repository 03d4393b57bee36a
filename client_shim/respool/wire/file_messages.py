"""What shim and daemon say to each other of files and checkpoints: room for them, their way to the disk, later
versions, and getting them back. The table of all messages, and the rules for their fields, are in
`respool.wire.messages`.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class BlobRequest(NamedTuple):
    """Client: room for a file's snapshot of `size` bytes."""

    name: str
    size: int


class BlobGrant(NamedTuple):
    """Daemon: one descriptor of an empty file that becomes `token` when a FILE record names it."""

    token: str
    error: str | None = None


class BlobDone(NamedTuple):
    """Client: these blobs (token -> size) are written; may a record name them now?"""

    sizes: dict[str, int]


class BlobKept(NamedTuple):
    """Daemon: it may; or `error` says what is missing, and the blobs are removed."""

    error: str | None = None


class BlobDropped(NamedTuple):
    """Client: no record will name these."""

    tokens: list[str]


class Settle(NamedTuple):
    """Client: tell me when these blobs, and the record that names them, are on disk."""

    tokens: list[str]


class Settled(NamedTuple):
    """Daemon: they are; or `error` says why not."""

    error: str | None = None


class Stage(NamedTuple):
    """Client, with one descriptor of shared memory: its first `size` bytes are to become the blob `token`."""

    token: str
    size: int


class Staged(NamedTuple):
    """Daemon: it holds that memory and writes it to the blob, whatever becomes of the client; `error`: it does not.
    Settle tells when it is done and the memory may be used again.
    """

    error: str | None = None


class CheckpointsAsked(NamedTuple):
    """Client: the checkpoints of a run that its lineage shows, [entity/]project/run_id or None for its own."""

    run: str | None = None
    name: str | None = None


class Checkpoints(NamedTuple):
    """Daemon: newest first, each {"name", "step", "logged_step", "time", "attempt_id", "number", "metadata",
    "world", "ranks", "complete", "pinned", "size", "source" (spool, hub), "parts": [{"rank", "name", "size",
    "digest"}]}.
    """

    checkpoints: list[dict[str, Any]] = []
    error: str | None = None


class RestorePart(NamedTuple):
    """Client: one part of the checkpoint `name` at `step`; the answer is Restored."""

    name: str
    step: int
    part: str = ""
    rank: int = 0
    run: str | None = None
    attempt_id: str | None = None


class Restore(NamedTuple):
    """Client: the newest version of a file of a run, `run` being [entity/]project/run_id or None for its own."""

    name: str
    run: str | None = None


class Restored(NamedTuple):
    """Daemon: one descriptor of the file, checked against `digest`; or `error`, no descriptor. `uncertain`: it may well
    be there, but who has it is away, or gives it damaged.
    """

    size: int = 0
    digest: str = ""
    attempt_id: str = ""
    step: int | None = None
    source: str = ""
    error: str | None = None
    uncertain: bool = False


class Watch(NamedTuple):
    """Client: later versions of the file at `path` are wanted. The FILE record that names `token` saved it as `name`
    when it looked like `stamp`: inode, size in bytes, time of change in ns. Without a path: they are not any more.
    """

    name: str
    path: str = ""
    token: str = ""
    stamp: list[int] = []


class Watched(NamedTuple):
    """Daemon, at any time: it snapshots these files as they change; of others it says nothing."""

    names: list[str]


class Changed(NamedTuple):
    """Daemon, at any time: `token` holds a version of `name` that is later than that of `base`, and settled. A FILE
    record may name it, made of this and `file`: size, mtime, how.
    """

    name: str
    base: str
    token: str
    stamp: list[int] = []
    file: dict[str, Any] = {}
