"""One attempt as its keeper knows it: positions, facts, files, and what the hub still has to hear.

All of it can be read again from the attempt's folder; `progress` only saves the hub from hearing it twice.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from respool.wire import codec
from respool.wire.attempt import AttemptFile, Request, parse_request
from respool.wire.errors import WireError
from respool.wire.frames import NO_STEP, Frame, Kind
from respool.wire.view import View
from respoold.core.lineage import Link
from respoold.core.states import Facts, State, state_of
from respoold.core.tail import Extent, Start, Tail


class Blob(StrEnum):
    """Where one version of a file stands. SKIPPED: a newer version of the same name replaced it unsent."""

    PENDING = "pending"
    SENT = "sent"
    SKIPPED = "skipped"
    MISSING = "missing"


class FileVersion(NamedTuple):
    """A FILE record: a snapshot that was handed over, and how far it got."""

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


class Pass(NamedTuple):
    """What an attempt shows to its hub. `own`: it began with a key of its user's, and never uses the daemon's;
    `key` is that one while it is not yet exchanged for a `token`, and is never written down.
    """

    own: bool = False
    token: str = ""
    key: str = ""

    @property
    def waiting(self) -> bool:
        """Whether the key is still to be exchanged."""
        return self.own and not self.token

    @property
    def stuck(self) -> bool:
        """Whether nobody here has that key any more: its user must bring it."""
        return self.waiting and not self.key


class Attempt:
    """Mutable, pure. `directory` is where it lies; `adopted` when a process without a daemon made it there."""

    def __init__(self, file: AttemptFile, directory: str, *, adopted: bool = False) -> None:
        self.file = file
        self.id = file.attempt_id
        self.request: Request = parse_request(file.request)
        self.directory = directory
        self.adopted = adopted
        self.tails: dict[int, Tail] = {}
        self.acked: dict[int, int] = {}
        self.base: dict[int, Start] = {}
        self.files: dict[str, FileVersion] = {}
        self.registered = not file.offline
        self.number = file.number
        self.entity = file.entity
        self.alive = False
        self.gone = False
        self.superseded = False
        self.reported: set[str] = set()
        self.held: str | None = None
        self.deleted: str | None = None
        self.pass_ = Pass()
        self.warnings: list[str] = []

    @property
    def run(self) -> tuple[str, str]:
        return self.request.project, self.request.run_id

    def elsewhere(self, node: str) -> bool:
        """Whether its process belongs to another node, so that nobody here can tell if it lives."""
        return self.adopted and self.request.node != node

    @property
    def facts(self) -> Facts:
        views = [tail.facts for tail in self.tails.values()]
        ended = next((view for view in views if view.state == "ended"), None)
        return Facts(
            marked=any(view.preempting for view in views),
            ended=ended is not None,
            exit_code=ended.exit_code if ended else None,
            gone=self.gone,
            superseded=self.superseded,
            quiet=None,
            attended=not self.adopted or self.alive or self.gone,
        )

    @property
    def state(self) -> State:
        return state_of(self.facts)

    @property
    def over(self) -> bool:
        """Nothing more will be written: its end was recorded, or its process is gone."""
        return self.gone or self.facts.ended

    @property
    def rows(self) -> int:
        return sum(tail.facts.rows for tail in self.tails.values())

    @property
    def lost(self) -> int:
        return sum(tail.facts.lost for tail in self.tails.values())

    @property
    def last_step(self) -> int:
        return max((tail.facts.last_step for tail in self.tails.values()), default=NO_STEP)

    @property
    def link(self) -> Link:
        """This attempt for the fold; its primary is writer 0."""
        primary = self.tails.get(0)
        view = primary.facts if primary else View()
        return Link(self.id, self.file.parent, tuple(view.first_steps), self.last_step, view.cut)

    @property
    def moved(self) -> bool:
        """Whether it is more than a candidate: it logged a row, or rewound."""
        return bool(self.link.first_steps) or self.link.rewound is not None

    def tail(self, writer: int) -> Tail:
        """The tail of a writer, starting where its deleted segments ended."""
        if writer not in self.tails:
            base = self.base.get(writer, Start(0, 0, {}))
            tail = Tail(writer, base.segment, base.seq)
            tail.starts[base.segment] = base
            tail.facts.take_facts(base.facts)
            self.tails[writer] = tail
        return self.tails[writer]

    def note(self, writer: int, frames: list[Frame], now: float) -> list[str]:
        """Take newly read frames; says which of `file` and `state` were among them."""
        events: list[str] = []
        for frame in frames:
            if frame.kind == Kind.FILE and self._file(writer, frame, now):
                events.append("file")
            elif frame.kind == Kind.STATE:
                events.append("state")
        return events

    def acknowledge(self, writer: int, next_seq: int) -> None:
        """The hub has every record of `writer` before `next_seq`."""
        self.acked[writer] = max(self.acked.get(writer, 0), next_seq)
        self.tail(writer).acknowledge(self.acked[writer])

    def pending(self, writer: int) -> list[Extent]:
        """What the hub does not have yet, oldest first."""
        tail = self.tail(writer)
        tail.acknowledge(self.acked.get(writer, 0))
        return list(tail.extents)

    def released(self, writer: int) -> int:
        """Segments of `writer` below this index hold nothing that anyone still needs."""
        extents = self.pending(writer)
        return extents[0].segment if extents else self.tail(writer).segment

    def rebase(self, writer: int, index: int) -> None:
        """Segments below `index` are about to be deleted: remember what they amounted to."""
        starts = self.tail(writer).starts
        self.base[writer] = starts[min(one for one in starts if one >= index)]

    def pending_records(self) -> int:
        return sum(extent.records for writer in self.tails for extent in self.pending(writer))

    def pending_files(self) -> list[FileVersion]:
        """Versions to upload, the newest first."""
        waiting = [version for version in self.files.values() if version.state is Blob.PENDING]
        return sorted(waiting, key=lambda version: -version.seq)

    def unreported(self) -> list[tuple[str, int | None]]:
        """Facts that the hub has not heard yet, in the order to tell them: (event, exit code)."""
        facts, events = self.facts, list[tuple[str, int | None]]()
        if facts.marked:
            events.append(("preempting", None))
        if facts.ended:
            events.append(("ended", facts.exit_code))
        if facts.gone:
            events.append(("gone", None))
        return [event for event in events if event[0] not in self.reported]

    @property
    def complete(self) -> bool:
        """Over, and the hub has all of it."""
        settled = self.over and self.registered and not self.unreported() and not self.pending_files()
        return settled and not any(tail.extents for tail in self.tails.values())

    def _file(self, writer: int, frame: Frame, now: float) -> bool:
        try:
            value = codec.unpack_map(frame.payload)
        except WireError:
            return False
        token, name, size = value.get("blob"), value.get("name"), value.get("size")
        if not isinstance(token, str) or not isinstance(name, str) or not isinstance(size, int):
            return False
        if token in self.files:
            return False
        for other in list(self.files.values()):
            if other.name == name and other.state is Blob.PENDING:
                self.files[other.token] = other._replace(state=Blob.SKIPPED)
        self.files[token] = FileVersion(token, name, size, writer, frame.seq, frame.step, frame.time, at=now)
        return True


def progress_of(attempt: Attempt) -> dict[str, Any]:
    """What an attempt's `progress` file holds."""
    return {
        "registered": attempt.registered,
        "number": attempt.number,
        "entity": attempt.entity,
        "gone": attempt.gone,
        "superseded": attempt.superseded,
        "reported": sorted(attempt.reported),
        "acked": {str(writer): seq for writer, seq in attempt.acked.items()},
        "base": {str(writer): list(base) for writer, base in attempt.base.items()},
        "files": {token: list(version) for token, version in attempt.files.items()},
    }


def restore_progress(attempt: Attempt, progress: dict[str, Any]) -> None:
    """Take up what a `progress` file says; a broken one is as good as none."""
    try:
        acked = {int(writer): int(seq) for writer, seq in (progress.get("acked") or {}).items()}
        base = {int(writer): Start(*start) for writer, start in (progress.get("base") or {}).items()}
        files = [FileVersion(*values) for values in (progress.get("files") or {}).values()]
        files = [version._replace(state=Blob(version.state)) for version in files]
        attempt.reported = set(progress.get("reported") or ())
    except (TypeError, ValueError, AttributeError):
        return
    attempt.registered = bool(progress.get("registered", attempt.registered))
    attempt.number = progress.get("number", attempt.number)
    attempt.entity = progress.get("entity", attempt.entity)
    attempt.gone = bool(progress.get("gone"))
    attempt.superseded = bool(progress.get("superseded"))
    attempt.acked, attempt.base = acked, base
    attempt.files = {version.token: version for version in files}
    for writer in base:
        attempt.tail(writer)
