"""What lies in this user's own spools while no daemon runs, in the shape of a daemon's status. Only read."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from respool import own_daemons
from respool.spool_history import frames_of, segments_of
from respool.wire import codec
from respool.wire.attempt import BLOBS, NOTE
from respool.wire.errors import WireError
from respool.wire.frames import HEADER_SIZE, NO_STEP, Frame, Kind
from respoold import __version__
from respoold.cli.loose.folder import BELOW, Lying, lives, lying_in
from respoold.cli.places import Places
from respoold.core.file_version import Blob, FileVersion
from respoold.core.states import Facts, state_of
from respoold.io import blobs, disk


class End(NamedTuple):
    """How far a writer came, how it ended, and the bytes of what the hub has not acknowledged."""

    seq: int = 0
    last_step: int = NO_STEP
    ended: Frame | None = None
    octets: int = 0


def standing(places: Places, now: float) -> dict[str, Any]:
    """Everything of this user that lies here and that no hub is known to have."""
    runs = []
    for spool in spools(places):
        runs += [line for line in (_line(one, spool, now) for one in lying_in(spool)) if line is not None]
    ages = [run["oldest_pending_seconds"] for run in runs]
    sums = {
        name: sum(run[name] for run in runs)
        for name in ("pending_records", "pending_bytes", "pending_files", "pending_file_bytes")
    }
    return {
        "daemon": None,
        "command": __version__,
        "node": disk.node_name(),
        "hub_reachable": None,
        **sums,
        "oldest_pending_seconds": max(ages, default=None),
        "runs": sorted(runs, key=lambda run: float(run["oldest_pending_seconds"])),
    }


def spools(places: Places) -> list[str]:
    """Where attempts of this user may lie: registered folders, the one in this folder, their own daemons'."""
    known = own_daemons.registered_spools(places.environ)
    here = [os.path.realpath(BELOW)] if os.path.isdir(BELOW) else []
    return list(dict.fromkeys([*map(os.path.realpath, known), *here, *own_daemons.folders(places.environ)]))


def _line(one: Lying, spool: str, now: float) -> dict[str, Any] | None:
    """One attempt, or None where the hub has all of it."""
    progress = disk.read_progress(one.directory)
    acked = {int(writer): int(seq) for writer, seq in (progress.get("acked") or {}).items()}
    ends = {writer.writer: _end(one, writer.writer, acked.get(writer.writer, 0)) for writer in one.writers}
    pending = sum(max(0, end.seq - acked.get(writer, 0)) for writer, end in ends.items())
    files = _unsent(one, progress)
    if not pending and not files:
        return None
    alive = any(lives(writer) for writer in one.writers)
    last = max((end.last_step for end in ends.values()), default=NO_STEP)
    return {
        "entity": one.entity,
        "project": one.request.project,
        "run_id": one.request.run_id,
        "attempt_id": one.file.attempt_id,
        "number": one.file.number,
        "state": _state(one, ends, alive=alive),
        "pid": one.request.pid,
        "alive": alive,
        "last_step": None if last == NO_STEP else last,
        "pending_records": pending,
        "pending_bytes": sum(end.octets for end in ends.values()) if pending else 0,
        "pending_files": len(files),
        "pending_file_bytes": sum(blobs.size_of(one.directory, token) for token in files),
        "oldest_pending_seconds": max(0.0, now - one.request.started_at),
        "spool": spool,
        "why": "no daemon runs here to bring it",
        "advice": f"`{_sync(spool)}` brings it now, a daemon when it starts",
    }


def _sync(spool: str) -> str:
    """The command that brings a spool: a daemon's must be named, without the user's corner in it."""
    root, _, corner = spool.rpartition(f"{os.sep}{disk.ROOT}{os.sep}")
    return f"respool sync {root}" if root and corner.startswith("u") else "respool sync"


def _end(one: Lying, writer: int, acked: int) -> End:
    """Of a writer, from its newest segment with frames; the ones before it count whole."""
    names = segments_of(one.directory, writer)
    while names:
        frames = frames_of(one.directory, names.pop())
        if frames:
            octets = sum(HEADER_SIZE + len(frame.payload) for frame in frames if frame.next_seq > acked)
            octets += sum(_size(one.directory, name) for name in names)
            steps = (frame.step for frame in frames if frame.kind == Kind.ROW)
            ended = [frame for frame in frames if frame.kind == Kind.STATE]
            last = max(steps, default=NO_STEP)
            return End(frames[-1].next_seq, last, ended[-1] if ended else None, octets)
    return End()


def _size(directory: str, name: str) -> int:
    try:
        return os.stat(os.path.join(directory, name)).st_size
    except FileNotFoundError:  # an adopter was quicker
        return 0


def _unsent(one: Lying, progress: dict[str, Any]) -> list[str]:
    """The snapshots that lie here and that a daemon has not brought to the hub already."""
    try:
        found = os.listdir(os.path.join(one.directory, BLOBS))
        known = [FileVersion(*values) for values in (progress.get("files") or {}).values()]
    except (OSError, TypeError):
        return []
    done = {version.token for version in known if version.state != Blob.PENDING}
    return [token for token in found if token not in done and not token.endswith(NOTE)]


def _state(one: Lying, ends: dict[int, End], *, alive: bool) -> str:
    primary = ends.get(one.request.writer)
    said = _said(primary.ended) if primary and primary.ended else {}
    code = said.get("exit_code")
    gone = not alive and lives(one.writers[0]) is False
    facts = Facts(
        marked=said.get("state") == "preempting",
        ended=said.get("state") == "ended",
        exit_code=code if isinstance(code, int) else None,
        gone=gone,
        attended=alive,
        explicit=said.get("reason") == "finish",
    )
    return str(state_of(facts))


def _said(frame: Frame) -> dict[str, Any]:
    try:
        return codec.unpack_map(frame.payload)
    except WireError:
        return {}
