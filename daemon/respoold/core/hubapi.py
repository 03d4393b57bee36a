"""The hub's machine side, both directions: what daemon and hub say over HTTP/1.1.

Requests and answers are msgpack maps of the named tuples below (`Content-Type: application/msgpack`), except
where a body is frames or a file's bytes. Authentication is `Authorization: Bearer KEY`.

    GET  /v1/health                                   -> Health (no key needed)
    POST /v1/attach                      AttachRequest -> AttachAnswer | 409 Problem
    POST /v1/attempts/A/records/W?first_seq=N  frames  -> Appended | 409 Appended (a gap) | 404 | 422 Problem
    POST /v1/attempts/A/state            StateReport   -> {} (idempotent)
    POST /v1/heartbeat                   Beat          -> BeatAnswer
    HEAD /v1/blobs/DIGEST                              -> 200 | 404
    PUT  /v1/blobs/DIGEST                bytes         -> {} once they are stored durably and match | 422
    POST /v1/blobs/DIGEST/verify                       -> Verified (the hub reads it anew)
    POST /v1/attempts/A/files            FileCommit    -> {} | 409 Problem "missing-blob"
    POST /v1/blobs/missing               BlobsAsked    -> BlobsMissing
    POST /v1/attempts/A/checkpoints      CheckpointCommit -> CheckpointTaken | 409 Problem "missing-blob"
    GET  /v1/runs/E/P/R/checkpoints                    -> CheckpointList
    GET  /v1/runs/E/P/R/parts/DIGEST                   -> bytes of a part or file, `Range: bytes=` honoured
    GET  /v1/runs/E/P/R/parts/DIGEST/chunks            -> Manifest
    GET  /v1/runs/E/P/R/files/NAME                     -> bytes, X-Respool-Digest, X-Respool-Attempt, -Step

A records body may be zstd (`Content-Encoding: zstd`). It is idempotent: the hub skips what it has, stores the
rest, commits, and answers the next seq it wants. Every error body is a Problem. DIGEST is BLAKE3-256 in hex.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from respool.wire import codec
from respool.wire.shapes import build

API = "/v1"
FULL = 507
"""Status of a hub whose disk has no room for a blob. It is not away: rows still arrive."""

MSGPACK = "application/msgpack"
FRAMES = "application/x-respool-frames"
ON_BEHALF_OF = "X-Respool-For"
"""Header of a daemon that serves many users with one key: the login name, URL-quoted, of whom a request is for. The
hub then takes the caller for the user `KEYUSER+LOGIN`, so that those users do not see each other.
"""


class Problem(NamedTuple):
    """Why a request was not done, in one sentence of cause and one of advice. `code` is for programs."""

    code: str
    cause: str
    advice: str = ""
    detail: dict[str, Any] = {}


class Health(NamedTuple):
    """`incarnation` changes when the hub's data do: a restored backup has another one."""

    version: str
    incarnation: str


class AttachRequest(NamedTuple):
    """One process wants to log. Idempotent by `incarnation`, and by `attempt_id` when that is given, before the
    resume table is asked.

    Online, `attempt_id` is empty: the hub decides which run (`base`, `remembered`: see `respool.wire.choice`),
    whether the process joins an attempt of its launch or begins the next, from `generation` on, and derives the
    id as `respool.wire.identity.attempt_id_of` does. `dead`: attempts that this daemon knows to have ended.
    `parent` is the newest attempt with rows that the daemon knows, which may be ahead of the hub.
    `offline`: the process was already answered from the journal under `attempt_id`; then `parent` is what that
    answer believed (`parent_known` False: it had no idea) and the request is a registration that can no longer
    be refused; `writers` are the processes of this node that log into it, each a map of `WriterSlot`.
    `started_at` is shown, never compared.
    """

    attempt_id: str
    project: str
    run_id: str
    original_id: str
    resume: str
    entity: str | None = None
    launch: str = ""
    restart_count: int = 0
    node: str = ""
    pid: int = 0
    started_at: float = 0.0
    dead: list[str] = []
    takeover: bool = False
    offline: bool = False
    parent: str | None = None
    parent_known: bool = True
    attended: bool = True
    meta: dict[str, Any] = {}
    incarnation: str = ""
    rank: int = -1
    identity: str = ""
    base: str = ""
    remembered: str = ""
    join: bool = False
    generation: int = 0
    writers: list[dict[str, Any]] = []


class WriterSlot(NamedTuple):
    """One process and its slot in an attempt. `joined`: by join=True; it never cuts and never is the primary."""

    writer: int
    incarnation: str
    node: str = ""
    pid: int = 0
    joined: bool = False


class AttachAnswer(NamedTuple):
    """The attempt exists. `step` is the lineage's last step + 1; config and summary are the lineage's.

    `head` is the attempt whose view that is (None: a new history). `left_behind` tells, for resume=None on a
    run that exists, what was not continued: {"attempt_id", "state", "last_step", "number"}. `writer` is the slot
    given, `joined` whether the attempt existed and the process became a further writer of it (`step`, config and
    summary are then the attempt's own). `token`: what may append to and upload for this attempt, and no more.
    """

    entity: str
    project: str
    run_id: str
    number: int
    incarnation: str
    parent: str | None = None
    head: str | None = None
    resumed: bool = False
    step: int = 0
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    url: str | None = None
    left_behind: dict[str, Any] | None = None
    attempt_id: str = ""
    generation: int = 0
    writer: int = 0
    joined: bool = False
    token: str | None = None


class Appended(NamedTuple):
    """Everything before `next_seq` of that writer is committed. `superseded`: the head is elsewhere now."""

    next_seq: int
    incarnation: str
    superseded: bool = False


class StateReport(NamedTuple):
    """A fact about one writer of an attempt, see `respoold.core.states.Facts`.

    `event`: preempting (the script marked itself), ended (`explicit`: by finish()), gone (the process is, with no
    exit status), notice (a preemption notice: `source`, `deadline` in seconds since the epoch, 0 for unknown),
    withdrawn (that notice no longer holds).
    """

    event: str
    exit_code: int | None = None
    at: float = 0.0
    reason: str = ""
    writer: int = 0
    explicit: bool = False
    source: str = ""
    deadline: float = 0.0


class FileCommit(NamedTuple):
    """A file's version becomes visible. `seq` is its FILE record's; of two with one name the later wins. With
    `digests` and `sizes` it comes in chunks and `digest` is that of its `Manifest`.
    """

    name: str
    digest: str
    size: int
    seq: int
    writer: int = 0
    step: int | None = None
    time: float = 0.0
    metadata: dict[str, Any] = {}
    digests: bytes = b""
    sizes: list[int] = []


class Manifest(NamedTuple):
    """What a file or a part consists of: the digests of its chunks, 32 bytes each, in order, and their sizes.

    A manifest's digest is BLAKE3-256 over each chunk's digest followed by its size as 8 little-endian bytes.
    """

    digests: bytes
    sizes: list[int]


class BlobsAsked(NamedTuple):
    """Which of these (32 bytes each) must be uploaded? What is here is kept for a day from now on."""

    digests: bytes


class BlobsMissing(NamedTuple):
    """Positions in the question of those that are not here; and of each how many bytes are here of an upload that
    broke off, behind which a PUT with X-Respool-Offset goes on.
    """

    missing: list[int]
    begun: list[int] = []


class Verified(NamedTuple):
    """Whether a blob that was read anew is what its name says."""

    whole: bool


class CheckpointCommit(NamedTuple):
    """One rank's share of a checkpoint becomes visible. `step` is what the trainer calls it, `logged` the last row's
    step when it was saved, by which a cut hides it. `parts`: {"name", "size", "digest" (the manifest's),
    "digests", "sizes"} each. `seq`: of its CHECKPOINT record; of two with one name, step and rank the later wins.
    `keep`: {"last", "every", "mode"} as `respool.wire.retention.policy_of` reads it, `score`: what is best by
    `mode`, `pinned`: never dropped. `repeat`: which save of its step it belongs to, see `respool.wire.shares`.
    """

    name: str
    step: int
    seq: int
    parts: list[dict[str, Any]]
    writer: int = 0
    rank: int = 0
    world: int = 1
    time: float = 0.0
    metadata: dict[str, Any] = {}
    keep: dict[str, Any] = {}
    score: float | None = None
    pinned: bool = False
    logged: int | None = None
    repeat: int = 0


class RoomAsked(NamedTuple):
    """Is there room for `size` bytes that are not uploaded yet? Of a checkpoint's share, its fields as in
    `CheckpointCommit`, so that what retention would let go for it counts; `step` None: of a file.
    """

    name: str
    size: int
    seq: int = 0
    writer: int = 0
    step: int | None = None
    rank: int = 0
    world: int = 1
    keep: dict[str, Any] = {}
    score: float | None = None
    pinned: bool = False
    logged: int | None = None


class CheckpointTaken(NamedTuple):
    """It is visible, once `complete`. `expired`: checkpoints that retention has dropped since, {"name", "step",
    "attempt_id"} each, so that the spool may drop them too.
    """

    complete: bool
    expired: list[dict[str, Any]] = []


class CheckpointList(NamedTuple):
    """The checkpoints that the lineage shows, newest first; see `respool.wire.messages.Checkpoints`."""

    checkpoints: list[dict[str, Any]]


class Beat(NamedTuple):
    """One node's heartbeat for all attempts of one key: attempt_id -> {"alive", "writers": {slot: alive},
    "pending_records", "pending_bytes", "pending_files", "pending_file_bytes", "oldest" (seconds), "why", "whole"}. What
    is pending is this node's part of it; the hub keeps it by (attempt, node). "whole": the writers that were read to
    their end and are entirely at the hub, said once when nothing of the attempt is left here. `watched`: of each
    SLURM cluster that the node has jobs of their numbers, "jobs", and where it leads what it "found", see
    `respoold.core.bulletin`.
    """

    node: str
    daemon: str
    attempts: dict[str, dict[str, Any]]
    watched: dict[str, dict[str, Any]] = {}


class BeatAnswer(NamedTuple):
    """`commands`: attempt_id -> list of {"command": "superseded" | ...}; `unknown`: attempts to register. `leads`: the
    clusters that this node asks for all; `foreseen`: cluster -> job -> [source, deadline] of those it watches.
    """

    incarnation: str
    commands: dict[str, list[dict[str, Any]]] = {}
    unknown: list[str] = []
    leads: list[str] = []
    foreseen: dict[str, dict[str, Any]] = {}


Shape = Any
"""One of the named tuples above."""


def damaged(what: str, count: int) -> Problem:
    """What is said of a file, or a part of one, of which the hub's own copy is no longer what it was."""
    are = "1 chunk of {} is" if count == 1 else f"{count} chunks of {{}} are"
    advice = "Take another checkpoint or version; whoever saves the same bytes again mends this one."
    return Problem("damaged", f"{are.format(what)} damaged at the hub, or gone.", advice)


def dump(shape: Shape) -> bytes:
    """A body."""
    return codec.pack(shape._asdict())


def load(cls: type[Any], body: bytes) -> Shape:
    """The shape in a body; unknown fields are passed over. Raises a WireError for anything else."""
    return build(cls, codec.unpack_map(body))
