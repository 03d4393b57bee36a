"""What shim and daemon say to each other. Each message is a named tuple; `codec` knows nothing of them.

The first column of the table in `respool.wire` is the class, the second its number on the wire. A field that
a peer does not know is dropped; one that it misses takes its default. So a field may be added, never renamed,
and never change its meaning.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from respool.wire import codec
from respool.wire.file_messages import (
    BlobDone,
    BlobDropped,
    BlobGrant,
    BlobKept,
    BlobRequest,
    Changed,
    Checkpoints,
    CheckpointsAsked,
    Restore,
    Restored,
    RestorePart,
    Settle,
    Settled,
    Stage,
    Staged,
    Watch,
    Watched,
)
from respool.wire.shapes import build

VERSIONS = (1,)
"""Protocol versions that this side speaks, best first."""


class Hello(NamedTuple):
    """Client, first: which versions it speaks and who it is."""

    versions: list[int]
    client: str


class Welcome(NamedTuple):
    """Daemon: the version chosen, its own release, node and hub."""

    version: int
    daemon: str
    node: str
    hub: str | None = None


class Refused(NamedTuple):
    """Daemon: no, with one sentence of cause and one of advice. `code` is for programs:

    version, missing, exists, live, quota, forbidden, conflict, bad-request, unknown-attempt.
    """

    code: str
    cause: str
    advice: str = ""


class Attach(NamedTuple):
    """Client: a process wants to log into a run. See `respool.wire.attempt.Request` for the fields.

    `key`: the user's own API key, for a hub that the daemon has no key of this user for. It is exchanged at the
    hub and is not part of the request, because requests are written down.
    """

    request: dict[str, Any]
    key: str | None = None


class Waiting(NamedTuple):
    """Daemon, while an attach takes time: what it waits for, and for how many seconds at most."""

    reason: str
    seconds: float


class Attached(NamedTuple):
    """Daemon: the attach is decided. Two descriptors travel along: the segments `segment` and the next.

    `step` is the next step, `number` the attempt's number at the hub (None: answered offline), `directory`
    the attempt's folder in the spool, `lasting` whether the daemon will outlive this process and drain it,
    `lines` what the user should read. `joined`: a further writer, in slot `writer`, of an attempt that existed.
    """

    attempt_id: str
    project: str
    run_id: str
    entity: str | None = None
    number: int | None = None
    writer: int = 0
    segment: int = 0
    capacity: int = 0
    resumed: bool = False
    unknown: bool = False
    step: int = 0
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    url: str | None = None
    directory: str = ""
    lasting: bool = True
    lines: list[str] = []
    joined: bool = False


class Reattach(NamedTuple):
    """Client, after the daemon it knew is gone: it holds `segment` of this writer and goes on in it. `key`: as in
    `Attach`, for the case that the daemon ended before it could exchange it.
    """

    attempt_id: str
    writer: int
    segment: int
    key: str | None = None


class Reattached(NamedTuple):
    """Daemon: it knows that writer. A `Spare` follows."""

    attempt_id: str


class Ring(NamedTuple):
    """Client: there is something in my segment. `urgent` when it should not wait for the next look."""

    urgent: bool = False


class Rolled(NamedTuple):
    """Client: it now writes to `segment`; the one before is complete. A `Spare` follows."""

    segment: int


class Spare(NamedTuple):
    """Daemon: `segment`, one descriptor. With `roll`, the client moves to it at once (its present
    segment's disk failed). With `full`, there is no descriptor: the quota for rows is used up.
    """

    segment: int
    capacity: int
    roll: bool = False
    full: bool = False


class Flush(NamedTuple):
    """Client: tell me when all I have written is on disk (`hub=False`) or at the hub."""

    hub: bool = False


class Flushed(NamedTuple):
    """Daemon: everything before `seq` is where the Flush asked for; `error` says why it is not."""

    seq: int
    error: str | None = None


class StatusRequest(NamedTuple):
    """Client: what is kept here, for whom, and why it is still here."""

    all_users: bool = False


class Status(NamedTuple):
    """Daemon: the object that `respool status --json` prints."""

    status: dict[str, Any]


class Adopt(NamedTuple):
    """Client, on a connection of its own: take over an attempt that a process of mine kept without a daemon.

    `paper` is its `attempt.json`; one descriptor travels along for each of `files`, names inside its folder.
    Without files: how does it stand with you? `last` says that no more of its files follow.
    """

    paper: dict[str, Any]
    files: list[str] = []
    last: bool = False


class Adopted(NamedTuple):
    """Daemon: how that attempt stands with it: unknown, partly (more may follow), kept (durably, its folder is
    needed no more for that), complete (all of it is at the hub).
    """

    attempt_id: str
    held: str


class SpoolRequest(NamedTuple):
    """Client: what of mine lies in your spool? With `purge` it is removed, if the hub has it; with `force` also what
    the hub has not. `attempts`: these only. `all_users`: everybody's, for root.
    """

    attempts: list[str] = []
    purge: bool = False
    force: bool = False
    all_users: bool = False


class Spooled(NamedTuple):
    """Daemon: the attempts, each a map; see `respoold.tasks.purge`."""

    attempts: list[dict[str, Any]]


class Foretold(NamedTuple):
    """Client that runs a job, and no trainer: what it started is about to be preempted (`deadline` in seconds since
    the epoch, 0: unknown): the processes below it, and those of the scheduler's `job`, its identity, if any.
    """

    source: str
    deadline: float = 0.0
    job: str = ""


class Left(NamedTuple):
    """Client that runs a job: its child `pid` has ended, with `exit_code` (None: by a signal). What became of the
    runs below it?
    """

    pid: int
    exit_code: int | None = None
    job: str = ""


class Judged(NamedTuple):
    """Daemon, to both: the runs concerned, and the state of each."""

    states: dict[str, str] = {}


class Notice(NamedTuple):
    """Daemon, at any time, with a line for the user: superseded; deleted; preempting (data: source, deadline in seconds
    since the epoch or 0), withdrawn (the same notice no longer holds); quota, disk ...
    """

    code: str
    text: str
    data: dict[str, Any] = {}


type_numbers: dict[type[Any], int] = {
    Hello: 64,
    Welcome: 65,
    Refused: 66,
    Attach: 67,
    Waiting: 68,
    Attached: 69,
    Reattach: 70,
    Reattached: 71,
    Ring: 72,
    Rolled: 73,
    Spare: 74,
    Flush: 75,
    Flushed: 76,
    BlobRequest: 77,
    BlobGrant: 78,
    Restore: 79,
    Restored: 80,
    StatusRequest: 81,
    Status: 82,
    Notice: 83,
    BlobDone: 84,
    BlobKept: 85,
    BlobDropped: 86,
    Settle: 87,
    Settled: 88,
    CheckpointsAsked: 89,
    Checkpoints: 90,
    RestorePart: 91,
    Stage: 92,
    Staged: 93,
    Adopt: 96,
    Adopted: 97,
    SpoolRequest: 98,
    Spooled: 99,
    Foretold: 100,
    Left: 101,
    Judged: 102,
    Watch: 103,
    Watched: 104,
    Changed: 105,
}
_classes: dict[int, Any] = {number: cls for cls, number in type_numbers.items()}

Message = Any
"""One of the classes above."""


def encode_message(message: Message) -> tuple[int, bytes]:
    """Number and payload of a message."""
    return type_numbers[type(message)], codec.pack(message._asdict())


def decode_message(number: int, payload: bytes) -> Message | None:
    """The message, or None for a number that this release does not know: such a message is passed over."""
    cls = _classes.get(number)
    if cls is None:
        return None
    return build(cls, codec.unpack_map(payload))
