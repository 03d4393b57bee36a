"""The attempt's own papers: what a process asks for when it attaches, and the file that keeps it.

A spool holds one self-contained folder per attempt, so that rsync can carry it:

    ATTEMPT_ID/
        attempt.json            this module's `AttemptFile`, written once, before the first segment
        progress                the keeper's own notes (what was uploaded); losing it costs only duplicates
        w3.json                 a further writer's `WriterFile`
        w0-000000.seg ...       the writers' segments (`respool.wire.segment`)
        blobs/TOKEN             snapshots; one counts only when a FILE or CHECKPOINT record names it
        quarantine/             damaged segments and torn tails, kept for a look
        handed-over             a system daemon has copied it and the hub has all of it (`respool.handing_over`)

A checkpoint is one CHECKPOINT record: {"name", "step", "metadata", "rank", "world", "parts": [{"name", "blob",
"size"}], "keep": {"last", "every", "mode"}, "score", "pinned"}. `step` is what the trainer calls it; the frame's
step is the last row's when it was saved, by which a cut hides it, for trainers count in units of their own. All its
parts appear with that one write. Of a sharded one (`world` > 1) each rank writes such a record; it exists when all
of ranks 0 to world - 1 of one attempt have.

A blob is open to the trainer under its final name from the start. What makes it a version of the file is the
FILE record in the trainer's segment, one write(2) like any other record: before it nothing is visible, after
it nothing can take it back, whoever is killed when.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from respool.wire.errors import FormatError, UnknownVersionError
from respool.wire.identity import Process
from respool.wire.shapes import build

ATTEMPT_FILE = "attempt.json"
PROGRESS_FILE = "progress"
BLOBS = "blobs"
NOTE = ".chunks"
"""What is behind a blob's name in that of the note that it is on disk: the daemon's has its digests, ours is empty."""
QUARANTINE = "quarantine"
FORMAT = 1

RESUME_MODES = ("none", "allow", "must", "never", "auto")


class Request(NamedTuple):
    """What a process asks for. `incarnation` tells this call of init() from every other on earth.

    `launch` names the launch that several processes share, its life included; `identity` is what the scheduler
    calls the job in all of its lives, `restart_count` which life this is; `rank` its place in the launch, -1
    where none is known. `writer` is the slot that the keeper gave it.
    With resume "auto" the keeper chooses the run (`respool.wire.choice`): `base` is the id that follows from the
    scheduler's identity and the program, `remembered` the one that the state file names, and `run_id` the one
    of a new run when there is neither. `fixed_id` is False when nobody named the id.
    `join`: become a further writer of a live attempt, whatever the launch. `system`: the daemon may sample the job.
    `trust`: resume='must' believes that the run exists when nobody who could be asked knows it.
    `meta` holds what the call passed: name, notes, tags, group, job_type.
    """

    project: str
    run_id: str
    original_id: str
    incarnation: str
    resume: str = "none"
    entity: str | None = None
    fixed_id: bool = True
    launch: str = ""
    restart_count: int = 0
    writer: int = 0
    boot_id: str = ""
    pid: int = 0
    start_time: int = 0
    node: str = ""
    program: str = ""
    hub: str | None = None
    takeover: bool = False
    trust: bool = False
    meta: dict[str, Any] = {}
    started_at: float = 0.0
    rank: int = -1
    identity: str = ""
    base: str = ""
    remembered: str = ""
    join: bool = False
    system: bool = True

    @property
    def process(self) -> Process:
        return Process(self.boot_id, self.pid, self.start_time)


class WriterFile(NamedTuple):
    """`w3.json`: a further writer of an attempt, written before its first segment. The process that made the
    attempt has no such file: `attempt.json` speaks for it. `joined`: it came by join=True and never cuts.
    """

    writer: int
    incarnation: str
    boot_id: str = ""
    pid: int = 0
    start_time: int = 0
    node: str = ""
    joined: bool = False
    started_at: float = 0.0

    @property
    def process(self) -> Process:
        return Process(self.boot_id, self.pid, self.start_time)


class AttemptFile(NamedTuple):
    """`attempt.json`: the request, the attempt's id, and what its keeper answered without the hub.

    `parent` is the attempt believed to be continued (None: none), `offline` whether the hub had no part in
    the answer, `step` the first step that was promised, `parent_known` False when nobody asked knew the run.
    `generation`: which attempt of its launch in this run it is, from 0.
    """

    attempt_id: str
    request: dict[str, Any]
    uid: int
    offline: bool = True
    parent: str | None = None
    resumed: bool = False
    step: int = 0
    number: int | None = None
    entity: str | None = None
    parent_known: bool = True
    format: int = FORMAT
    generation: int = 0


def parse_request(values: Any) -> Request:
    """A request from a message or a file. Raises FormatError that names what is missing or wrong."""
    request: Request = build(Request, values)
    if request.resume not in RESUME_MODES:
        raise FormatError(f"resume is {request.resume!r:.40}; one of {', '.join(RESUME_MODES)}")
    return request


def writer_file_name(writer: int) -> str:
    """Name of a further writer's paper inside its attempt's folder."""
    return f"w{writer}.json"


def parse_writer_file(values: Any, name: str) -> WriterFile:
    """A writer's paper as read. Raises FormatError naming the file."""
    try:
        found: WriterFile = build(WriterFile, values)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
    return found


def parse_attempt_file(values: Any, name: str) -> AttemptFile:
    """`attempt.json` as read. Raises FormatError naming the file."""
    try:
        found: AttemptFile = build(AttemptFile, values)
        if found.format == FORMAT:
            parse_request(found.request)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
    if found.format != FORMAT:
        raise UnknownVersionError(f"{name}: attempt format {found.format}; this release reads {FORMAT}")
    return found
