"""What the hub asks of its stores. SQLite and a folder do it here; PostgreSQL and an object store may.

A unit of work is a plain function of a `Reader` or a `Transaction`. It may be run again by a store that
serialises by retrying, so it has no effect but through its argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, Self, TypeVar

from respool_hub.store.rows import (
    AssignmentRow,
    AttemptRow,
    BacklogRow,
    BatchData,
    BatchRow,
    CheckpointRow,
    Extent,
    FileRow,
    GraveRow,
    KeyRow,
    ManifestRow,
    NodeRow,
    OrderRow,
    PartRow,
    RunRow,
    SlotRow,
    SweepRow,
    TeamRow,
    WriterRow,
)

T = TypeVar("T")


class StoreError(Exception):
    """The store cannot do its work now; nothing of the request was kept. Waiting may help."""


class StoreFullError(StoreError):
    """No space is left. Someone must make some."""


class Reader(Protocol):
    """Looks at one committed state. Rows come as plain data, in the order named."""

    def incarnation(self) -> str: ...

    def setting(self, name: str) -> str | None:
        """What the hub keeps about itself."""

    def extent(self) -> Extent: ...

    def key(self, digest: bytes) -> KeyRow | None: ...

    def key_of(self, key_id: str) -> KeyRow | None: ...

    def keys(self, user: str | None) -> list[KeyRow]:
        """Oldest first, revoked ones too."""

    def team(self, name: str) -> TeamRow | None: ...

    def teams(self, user: str | None) -> list[TeamRow]:
        """Those that `user` is a member of, by name; all for None."""

    def is_member(self, team: str, user: str) -> bool: ...

    def is_user(self, name: str) -> bool:
        """Whether a key was ever made for `name`, or a run exists in it that is no team's."""

    def grave(self, attempt_id: str) -> GraveRow | None: ...

    def run(self, entity: str, project: str, run_id: str) -> RunRow | None: ...

    def run_of(self, run: int) -> RunRow: ...

    def runs(
        self, entities: list[str] | None, project: str | None, run_id: str | None, limit: int
    ) -> list[RunRow]:
        """Newest activity first; of all entities for None."""

    def attempt(self, attempt_id: str) -> AttemptRow | None: ...

    def attempts(self, run: int) -> list[AttemptRow]:
        """By number."""

    def writer(self, attempt_id: str, writer: int) -> WriterRow | None: ...

    def writers(self, run: int) -> list[WriterRow]:
        """Of all attempts, by attempt number and writer."""

    def view(self, attempt_id: str, writer: int) -> bytes:
        """The writer's folded config, summary and meta, as `put_writer` got it; b"" before that."""

    def batches(self, attempt_id: str) -> list[BatchRow]:
        """By writer and seq."""

    def batch(self, batch: int) -> bytes:
        """The frames of a batch, unpacked."""

    def files(self, run: int) -> list[FileRow]:
        """By attempt number, seq and writer."""

    def slots(self, attempt_id: str) -> list[SlotRow]:
        """By writer."""

    def slots_of(self, incarnation: str) -> list[SlotRow]: ...

    def guests(self, run: int) -> set[tuple[str, int]]:
        """(attempt id, writer) of those who came by join=True."""

    def backlogs(self, attempt_id: str) -> list[BacklogRow]:
        """By node."""

    def backlogs_on(self, node: str) -> list[BacklogRow]: ...

    def nodes(self, user: str | None) -> list[NodeRow]:
        """By name; everybody's for None."""

    def orders(self, run: int) -> list[OrderRow]:
        """Oldest first, undone ones too."""

    def sweep(self, entity: str, project: str, sweep_id: str) -> SweepRow | None: ...

    def sweeps(
        self, entities: list[str] | None, project: str | None, sweep_id: str | None, limit: int
    ) -> list[SweepRow]:
        """Newest first; of all entities for None."""

    def assignments(self, sweep: int, state: str | None = None) -> list[AssignmentRow]:
        """By number; only those in this state."""

    def assigned(self, sweep: int) -> int:
        """How many assignments it has."""

    def assignment(self, sweep: int, lease: str) -> AssignmentRow | None:
        """The one that this lease holds, or held last."""

    def checkpoints(self, run: int) -> list[CheckpointRow]:
        """By attempt number, seq and writer; dropped ones too."""

    def parts(self, run: int) -> list[PartRow]:
        """Of all checkpoints, in the order in which they were saved within each."""

    def manifest(self, digest: str) -> ManifestRow | None: ...

    def has_manifest(self, run: int, digest: str) -> bool:
        """Whether a file, or a part of a checkpoint that was not dropped, of this run is that manifest."""

    def held(self, entity: str, project: str) -> int:
        """Bytes of a project's files and of its checkpoints that were not dropped, each content once."""

    def wanted(self) -> Iterator[str]:
        """The digests of all blobs that anything visible needs; some more than once."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Transaction(Reader, Protocol):
    """A reader that sees its own writes. All of them are committed together, or none."""

    def add_key(self, key: KeyRow) -> None: ...

    def revoke_key(self, key_id: str, at: float) -> bool:
        """False when there is no such key or it was revoked before."""

    def touch_key(self, key_id: str, at: float) -> None:
        """It was used."""

    def put_setting(self, name: str, value: str) -> None: ...

    def put_team(self, team: TeamRow) -> None:
        """Make it, or give it these members."""

    def drop_team(self, name: str) -> None: ...

    def bury(self, run: RunRow, by: str, at: float) -> None:
        """Take a run out of sight: its id is free again, its attempts have graves, and the rest of it waits for
        `erase_some`.
        """

    def erase_some(self, batches: int) -> bool:
        """Erase that many batches of one buried run, or what is left of it. False when nothing was there."""

    def add_run(self, run: RunRow) -> RunRow:
        """Its `id` is chosen here. (entity, project, run_id) is unique."""

    def put_run(self, run: RunRow) -> None: ...

    def add_attempt(self, attempt: AttemptRow) -> None:
        """attempt_id, and (run, number), are unique."""

    def put_attempt(self, attempt: AttemptRow) -> None: ...

    def put_writer(self, writer: WriterRow, view: bytes) -> None: ...

    def add_batch(self, batch: BatchData) -> None:
        """(attempt_id, writer, first_seq) is unique."""

    def add_file(self, file: FileRow) -> None:
        """Does nothing when (attempt_id, writer, seq, name) is there already."""

    def put_slot(self, slot: SlotRow) -> None: ...

    def put_backlog(self, backlog: BacklogRow) -> None: ...

    def put_node(self, node: NodeRow) -> None: ...

    def add_order(self, order: OrderRow) -> OrderRow:
        """Its `id` is chosen here."""

    def undo_order(self, order: int) -> None: ...

    def add_sweep(self, sweep: SweepRow) -> SweepRow:
        """Its `id` is chosen here. (entity, project, sweep_id) is unique."""

    def put_sweep(self, sweep: SweepRow) -> None:
        """Change its state; nothing else of it changes."""

    def put_assignment(self, assignment: AssignmentRow) -> None:
        """Add or change it."""

    def add_manifest(self, manifest: ManifestRow) -> None:
        """Does nothing when it is there already."""

    def add_checkpoint(self, checkpoint: CheckpointRow, parts: list[PartRow]) -> None:
        """Does nothing when (attempt_id, writer, seq) is there already."""

    def mark_checkpoint(
        self, attempt_id: str, name: str, step: int, *, dropped: bool | None, pinned: bool | None
    ) -> int:
        """Change all shares of a checkpoint; how many there were. None leaves a mark as it is."""

    def drop_manifests(self) -> int:
        """Forget manifests that nothing names any more; how many."""


class Store(Protocol):
    """Metadata and batches."""

    def write(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Run `work` as one transaction. The future is done when its effects are durable; it carries the
        exception of `work` (nothing of it was kept), or a StoreError.
        """

    def read(self, work: Callable[[Reader], T]) -> Future[T]:
        """Run `work` on what is committed, beside writes and other reads."""

    def reader(self) -> Reader:
        """A reader of the caller's own, for longer than a call. The caller closes it."""

    def close(self) -> None:
        """Finish what was asked, then let go. Called once."""


class Upload(Protocol):
    """Bytes on their way in. Blocking calls: not for an event loop."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def commit(self, digest: str) -> bool:
        """Make them readable under `digest`; durable when it returns True. False, and nothing is kept,
        when their BLAKE3 is another one.
        """

    def suspend(self) -> None:
        """No more comes now: keep what has, for `Blobs.resume`. Does nothing after commit()."""

    def abort(self) -> None:
        """Keep nothing. Does nothing after commit()."""


class BlobFile(Protocol):
    """An open blob. `size` in bytes. The caller closes it."""

    size: int

    def seek(self, offset: int) -> None: ...

    def read(self, count: int) -> bytes: ...

    def close(self) -> None: ...


class Blobs(Protocol):
    """Bytes by their BLAKE3-256 in hexadecimal. What is there never changes."""

    def size(self, digest: str) -> int | None:
        """None: not there."""

    def want(self, digests: list[str]) -> list[int | None]:
        """The size of each, None where it is not there. What is there is not swept for a day from now."""

    def sweep(self, wanted: set[str], older_than: float) -> tuple[int, int]:
        """Remove what is not `wanted` and was neither written nor wanted since `older_than` (seconds since the
        epoch, by the store's own clock); how many blobs, and their bytes. Safe beside uploads and commits.
        """

    def open(self, digest: str) -> BlobFile | None: ...

    def verify(self, digest: str) -> bool:
        """Read it and say whether it is what its name says; from then on one that is not is not there."""

    def upload(self, expected: int | None, digest: str = "") -> Upload:
        """`expected` bytes if known, and the digest that they shall have. Raises StoreFullError when they cannot
        fit.
        """

    def begun(self, digests: list[str]) -> list[int]:
        """How many bytes of each a suspended upload left."""

    def resume(self, digest: str, offset: int) -> Upload | None:
        """Go on behind the first `offset` bytes of a suspended upload; None where there is none so long."""

    def close(self) -> None: ...
