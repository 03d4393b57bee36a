"""What `respool status` shows: what is pending, for whom, since when, why, and what to do."""

from __future__ import annotations

import time
from typing import Any

import trio

from respool.wire.frames import NO_STEP
from respoold import __version__
from respoold.core.attempt import Attempt
from respoold.core.node import pending_bytes
from respoold.io import disk
from respoold.tasks.keeper import Keeper


def status(keeper: Keeper, uid: int, *, all_users: bool = False) -> dict[str, Any]:
    """What `respool status --json` prints, for one user's runs or (root only) for everybody's."""
    mine = [one for one in keeper.node if one.file.uid == uid or (all_users and uid == 0)]
    kept = [one for one in mine if not one.complete]
    runs = [_run(keeper, one) for one in kept]
    room, breaker = keeper.room(uid), keeper.breaker
    reachable = keeper.hub is not None and breaker.closed
    ages = [run["oldest_pending_seconds"] for run in runs if run["oldest_pending_seconds"] is not None]
    return {
        "daemon": __version__,
        "node": disk.node_name(),
        "socket": keeper.config.socket,
        "spool": keeper.config.spool,
        "hub": keeper.config.hub,
        "hub_reachable": reachable,
        "hub_error": None if reachable else breaker.why or "no hub is configured",
        "hub_since": time.time() - (trio.current_time() - breaker.since),
        "pending_records": sum(run["pending_records"] for run in runs),
        "pending_bytes": sum(run["pending_bytes"] for run in runs),
        "pending_files": sum(run["pending_files"] for run in runs),
        "pending_file_bytes": sum(run["pending_file_bytes"] for run in runs),
        "oldest_pending_seconds": max(ages, default=None),
        "quota": {
            "rows_used": room.rows,
            "rows_cap": room.rows_cap,
            "blobs_used": room.blobs,
            "blobs_cap": room.blobs_cap,
            "disk_free": room.free,
        },
        "warnings": keeper.complaints() + [text for one in kept for text in one.warnings],
        "runs": runs,
    }


def _run(keeper: Keeper, attempt: Attempt) -> dict[str, Any]:
    files, why, now = attempt.pending_files(), _why(keeper, attempt), trio.current_time()
    oldest = [extents[0].at for writer in attempt.tails if (extents := attempt.pending(writer))] + [
        version.at for version in files if version.at
    ]
    return {
        "entity": attempt.entity,
        "project": attempt.request.project,
        "run_id": attempt.request.run_id,
        "attempt_id": attempt.id,
        "number": attempt.number,
        "state": str(attempt.state),
        "pid": attempt.request.pid,
        "alive": attempt.alive,
        "last_step": None if attempt.last_step == NO_STEP else attempt.last_step,
        "rows": attempt.rows,
        "pending_records": attempt.pending_records(),
        "pending_bytes": pending_bytes([attempt]),
        "pending_files": len(files),
        "pending_file_bytes": sum(version.size for version in files),
        "oldest_pending_seconds": max(0.0, now - min(oldest)) if oldest else None,
        "lost": attempt.lost,
        "why": why[0],
        "advice": why[1],
    }


def _why(keeper: Keeper, attempt: Attempt) -> tuple[str | None, str | None]:
    """Why something of this attempt is still here, and what to do about it."""
    blocked = next((one.blocked for one in keeper.readers_of(attempt) if one.blocked), None)
    if blocked:
        return blocked, "check the disk; what the hub has is safe, restart the job on another disk"
    if not (attempt.pending_records() or attempt.pending_files() or attempt.unreported()):
        return None, None
    if keeper.hub is None:
        return "no hub is configured", "set RESPOOL_HUB_URL or hub in respoold.toml and restart the daemon"
    if keeper.denied:
        return keeper.breaker.why, f"run: respool login {keeper.config.hub}; then restart the daemon"
    if not keeper.breaker.closed:
        return (
            f"the hub does not answer: {keeper.breaker.why}",
            "nothing is lost; it is tried again by itself",
        )
    if attempt.held:
        return attempt.held, "it is tried again by itself; the hub's log says more"
    if not attempt.registered:
        return "waiting to be registered at the hub", None
    return "being sent", None
