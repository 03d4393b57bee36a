"""Without a daemon: who lives, which attempt of its launch a process joins, and whether it may take a run over.

A process of this node lives or does not. What lives on another node cannot be seen from here; only on a shared
file system can it be met at all, and there its last write counts as its heartbeat: a writer that has written
nothing for three heartbeats, by the file server's own clock, is silent and may be taken over. What it writes later
stays on its branch, as always.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from respool import current, notices
from respool.errors import LiveRunError
from respool.process import alive
from respool.spool_history import Earlier, head_of
from respool.spool_papers import names
from respool.util import generate_id
from respool.wire.attempt import ATTEMPT_FILE, Request, WriterFile
from respool.wire.limits import SILENT_AFTER
from respool.wire.segment import parse_segment_name

WAIT_SECONDS = SILENT_AFTER
"""How long a head that lives is given to fall silent."""

_PAUSE_SECONDS = 0.1


class Living(NamedTuple):
    """A writer that may still write. `seen`: its process runs on this node. Else `quiet`: seconds since it wrote."""

    attempt: Earlier
    writer: WriterFile
    seen: bool
    quiet: float = 0.0


def living_in(request: Request, spool: str, earlier: Sequence[Earlier]) -> list[Living]:
    """Everybody who may still write into these attempts. A process that replaced itself by exec, or that has
    finished with a run, is not its own rival.
    """
    here = {run.attempt_id for run in current.open_runs()}
    found = []
    for one in earlier:
        for writer in one.writers:
            if writer.writer in one.ended or not writer.pid:
                continue
            mine = writer.process == request.process
            if mine and one.file.attempt_id not in here:
                continue
            if writer.node in {"", request.node}:
                if alive(writer.process):
                    found.append(Living(one, writer, seen=True))
            elif (quiet := _quiet(spool, one, writer)) < SILENT_AFTER:
                found.append(Living(one, writer, seen=False, quiet=quiet))
    return found


def to_join(request: Request, earlier: Sequence[Earlier], living: Sequence[Living]) -> Earlier | None:
    """The attempt in which this process becomes a further writer: with join=True the newest that lives; else the
    newest of its launch, if that lives and this rank's slot was never used. A rank may also come after all others
    have finished; not after they died, for who comes then begins the next attempt.
    """
    lives = {one.attempt.file.attempt_id for one in living}
    if request.join:
        return head_of([one for one in earlier if one.file.attempt_id in lives])
    newest = max(_of_launch(request, earlier), key=lambda one: one.file.generation, default=None)
    if newest is None or not (newest.file.attempt_id in lives or _late(request, newest)):
        return None
    used = any(writer.writer == request.rank for writer in newest.writers)
    again = any(writer.process == request.process for writer in newest.writers)
    return None if used or again else newest


def next_generation(request: Request, earlier: Sequence[Earlier]) -> int:
    """The number of the attempt that this process begins, among those of its launch in this run."""
    return max((one.file.generation + 1 for one in _of_launch(request, earlier)), default=0)


def rivals_of(request: Request, living: Sequence[Living]) -> list[Living]:
    """Those of `living` whom this request does not overrule: neither takeover, nor a later life of one job."""
    if request.takeover:
        return []
    return [
        one
        for one in living
        if one.writer.process != request.process and not _successor(request, one.attempt.request)
    ]


def wait_out(rivals: list[Living], spool: str) -> list[Living]:
    """Give rivals time to die or fall silent; those that are left. One that is seen to write ends the wait."""
    deadline = time.monotonic() + WAIT_SECONDS
    if rivals and WAIT_SECONDS:
        first = rivals[0].writer
        text = f"{first.node}, process {first.pid}, still has this run; waiting up to {WAIT_SECONDS:.0f} s for it."
        notices.warn("waiting", text)
    while rivals and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
        now = [(one, 0.0 if one.seen else _quiet(spool, one.attempt, one.writer)) for one in rivals]
        if any(quiet < one.quiet for one, quiet in now):
            break
        rivals = [one for one, quiet in now if _still(one, quiet)]
    return rivals


def live_error(run: str, rival: Living, spool: str) -> LiveRunError:
    """The refusal of a run that somebody else has."""
    writer, ago = rival.writer, _quiet(spool, rival.attempt, rival.writer)
    return LiveRunError(
        f"Run {run} is alive on {writer.node}, process {writer.pid}, which last wrote {ago:.0f} s ago. Stop that "
        "process, or pass join=True to log into it as a further writer, takeover=True to take it over, or another id."
    )


def _late(request: Request, newest: Earlier) -> bool:
    """Of what only a journal remembers nobody can say whose slots were used."""
    return request.rank >= 0 and newest.finished and bool(newest.directory)


def _of_launch(request: Request, earlier: Sequence[Earlier]) -> list[Earlier]:
    return [one for one in earlier if one.request.launch == request.launch]


def _successor(request: Request, old: Request) -> bool:
    same = bool(request.identity) and request.identity == old.identity
    return same and request.restart_count > old.restart_count


def _still(one: Living, quiet: float) -> bool:
    return alive(one.writer.process) if one.seen else quiet < SILENT_AFTER


def _quiet(spool: str, attempt: Earlier, writer: WriterFile) -> float:
    """Seconds since this writer's segments changed, by the clock of the disk that they lie on."""
    stamps = [_changed(os.path.join(attempt.directory, ATTEMPT_FILE))]
    for name in names(attempt.directory):
        found = parse_segment_name(name)
        if found is not None and found[0] == writer.writer:
            stamps.append(_changed(os.path.join(attempt.directory, name)))
    return max(_disk_time(spool) - max(stamps), 0.0)


def _changed(path: str) -> float:
    try:
        # Opened, because a network file system answers a bare stat from what it knew a minute ago.
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return 0.0


def _disk_time(folder: str) -> float:
    path = os.path.join(folder, f".now-{generate_id()}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            return os.fstat(fd).st_mtime
        finally:
            os.close(fd)
            os.unlink(path)
    except OSError:
        return time.time()
