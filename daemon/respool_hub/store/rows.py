"""The rows of the hub's tables, as plain data. The same in every database."""

from __future__ import annotations

from typing import Any, NamedTuple

from respool.wire.frames import NO_STEP

NOBODY = ""


class Extent(NamedTuple):
    """How far the data go: the highest numbers that attempts and batches have. Only a deletion lowers them."""

    attempts: int = 0
    batches: int = 0


class KeyRow(NamedTuple):
    """An API key. `digest` is SHA-256 of the key: 160 random bits need no slow hash. `used_at` is coarse."""

    key_id: str
    digest: bytes
    user: str
    scope: str
    project: str | None
    name: str
    created_at: float
    revoked_at: float | None = None
    expires_at: float | None = None
    used_at: float | None = None


class TeamRow(NamedTuple):
    """An entity that several users share. `members` in the order of their names."""

    name: str
    members: tuple[str, ...]
    created_at: float


class GraveRow(NamedTuple):
    """An attempt of a run that was deleted: `run` is the path that it had, `owner` whose it was."""

    attempt_id: str
    run: str
    owner: str
    deleted_by: str
    deleted_at: float


class RunRow(NamedTuple):
    """One run. `head` is the attempt whose lineage is its history; `meta` what people call it by. One that was
    deleted and is still being erased belongs to the entity NOBODY.
    """

    id: int
    entity: str
    project: str
    run_id: str
    original_id: str
    owner: str
    meta: dict[str, Any]
    head: str | None
    created_at: float
    active_at: float
    alias_of: str | None = None


class AttemptRow(NamedTuple):
    """One attempt: what it asked for, and the facts that are known of it.

    `claimed`: it has tried for the head (its first row or rewind came). `branch`: it did not get it.
    `was_head`, `superseded`: it had the head; it lost it while it was not known to be dead. `alive`, `ended`,
    `exit_code`, `explicit` and `gone` are what its writers' slots amount to. `noticed`: a preemption notice of
    `source` stands, which expires at `deadline` (seconds since the epoch, 0: unknown). `ordered`: a cut that was
    set by hand, NO_CUT for none at all. `believed`: the parent that its first answer named; `base`: by how much that
    one's steps were shifted then (`respoold.core.lineage`).
    """

    attempt_id: str
    run: int
    number: int
    parent: str | None
    parent_known: bool
    resume: str
    launch: str
    restart_count: int
    node: str
    pid: int
    offline: bool
    attended: bool
    started_at: float
    registered_at: float
    heartbeat_at: float | None = None
    pending_records: int = 0
    pending_bytes: int = 0
    alive: bool = True
    marked: bool = False
    ended: bool = False
    exit_code: int | None = None
    gone: bool = False
    ended_at: float | None = None
    claimed: bool = False
    branch: bool = False
    was_head: bool = False
    superseded: bool = False
    identity: str = ""
    generation: int = 0
    explicit: bool = False
    noticed: bool = False
    source: str = ""
    deadline: float = 0.0
    ordered: int | None = None
    believed: str | None = None
    base: int = 0


class OrderRow(NamedTuple):
    """One change of a run's lineage by hand. `what`: head, graft or cut. `before`: what undoing it restores."""

    id: int
    run: int
    what: str
    attempt_id: str
    parent: str | None
    step: int | None
    before: dict[str, Any]
    by: str
    at: float
    undone: bool = False


class SweepRow(NamedTuple):
    """One sweep: its configuration as it was given, and what became of it. `state`: running, paused, stopped,
    cancelled or finished.
    """

    id: int
    entity: str
    project: str
    sweep_id: str
    owner: str
    config: dict[str, Any]
    state: str
    seed: int
    max_requeues: int
    created_at: float


class AssignmentRow(NamedTuple):
    """One point of a sweep, and who works on it. `number` from 0 on; `state`: leased, queued or done.

    `lease` names the hold of `agent`; `attempts`: how many its run had when it was leased. `reported`: the exit code
    of its process by the agent's word, negative for a signal. `stopped`: the hub wants it to end early. `outcome`:
    the state of the run once it is done. `value`: of the metric; `marks`: its best ones by band, smaller is better.
    `requeues`: how often it was begun again; -1 while it is queued and was never begun.
    """

    sweep: int
    number: int
    run_id: str
    point: dict[str, float]
    parameters: dict[str, Any]
    state: str
    lease: str
    agent: str
    attempts: int
    requeues: int
    reported: int | None = None
    stopped: bool = False
    outcome: str = ""
    value: float | None = None
    marks: dict[str, float] = {}


class SlotRow(NamedTuple):
    """One process that logs, or logged, into an attempt. `joined`: by join=True; it decides nothing."""

    attempt_id: str
    writer: int
    incarnation: str
    node: str
    pid: int
    joined: bool = False
    alive: bool = True
    ended: bool = False
    exit_code: int | None = None
    explicit: bool = False
    gone: bool = False

    @property
    def process(self) -> str:
        """What of the incarnation tells the process: all but which of its calls this was."""
        return self.incarnation.rpartition(":")[0]


class BacklogRow(NamedTuple):
    """What one node still holds of one attempt, as its last heartbeat said. `oldest` in seconds."""

    attempt_id: str
    node: str
    heartbeat_at: float
    pending_records: int = 0
    pending_bytes: int = 0
    pending_files: int = 0
    pending_file_bytes: int = 0
    oldest: float | None = None
    why: str = ""


class NodeRow(NamedTuple):
    """One node of one user, by its last heartbeat."""

    node: str
    user: str
    daemon: str
    heartbeat_at: float


class WriterRow(NamedTuple):
    """What the fold of one writer's records has come to. `steps` are its first two rows' steps; `named`: the trainer
    named the step of a row.
    """

    attempt_id: str
    writer: int
    next_seq: int = 0
    rows: int = 0
    lost: int = 0
    last_step: int = NO_STEP
    steps: tuple[int, ...] = ()
    cut: int | None = None
    first_time: float | None = None
    named: bool = False


class BatchRow(NamedTuple):
    """A batch of records without its bytes. Steps are those of its rows, NO_STEP in both without rows."""

    id: int
    attempt_id: str
    writer: int
    first_seq: int
    next_seq: int
    rows: int
    min_step: int
    max_step: int


class BatchData(NamedTuple):
    """A new batch: `data` are frames as they came, `codec` how they are packed ("" or "zstd")."""

    attempt_id: str
    writer: int
    first_seq: int
    next_seq: int
    rows: int
    min_step: int
    max_step: int
    min_time: float | None
    max_time: float | None
    codec: str
    data: bytes


class FileRow(NamedTuple):
    """One committed version of a file."""

    attempt_id: str
    writer: int
    seq: int
    name: str
    digest: str
    size: int
    step: int | None
    time: float
    metadata: dict[str, Any]


class CheckpointRow(NamedTuple):
    """One rank's share of a checkpoint. `dropped`: retention let its bytes go. `logged`: the last row's step when it
    was saved.
    """

    attempt_id: str
    writer: int
    seq: int
    name: str
    step: int
    rank: int
    world: int
    time: float
    metadata: dict[str, Any]
    keep: dict[str, Any]
    score: float | None = None
    pinned: bool = False
    dropped: bool = False
    logged: int | None = None
    repeat: int = 0


class PartRow(NamedTuple):
    """One file of a share, in the order it was saved. `digest` is its manifest's."""

    attempt_id: str
    writer: int
    seq: int
    position: int
    name: str
    digest: str
    size: int


class ManifestRow(NamedTuple):
    """What a file or part consists of: 32 bytes per chunk, and each chunk's size as 4 little-endian bytes."""

    digest: str
    size: int
    digests: bytes
    sizes: bytes
