"""What `respool status` shows: what is pending, for whom, since when, why, and what to do."""

from __future__ import annotations

import os
import time
from typing import Any

import trio

from respool.wire.frames import NO_STEP
from respoold import __version__
from respoold.core.attempt import Attempt
from respoold.core.node import pending_bytes
from respoold.io import disk
from respoold.tasks.keeper import Keeper
from respoold.tasks.uplink import Uplink
from respoold.tasks.uploads import snapshots, uploads


async def status(keeper: Keeper, uid: int, *, all_users: bool = False) -> dict[str, Any]:
    """What `respool status --json` prints, for one user's runs or (root only) for everybody's."""
    mine = [one for one in keeper.node if one.file.uid == uid or (all_users and uid == 0)]
    kept = [one for one in mine if not one.complete]
    runs = [_run(keeper, one) for one in kept]
    room, uplinks = await keeper.rooms.count(uid), _uplinks(keeper, uid, all_users=all_users)
    away = [one for one in uplinks if not one.open]
    reachable = bool(uplinks) and not away
    ages = [run["oldest_pending_seconds"] for run in runs if run["oldest_pending_seconds"] is not None]
    return {
        "daemon": __version__,
        "node": disk.node_name(),
        "socket": keeper.config.socket,
        "spool": keeper.config.spool,
        "hub": keeper.config.hub,
        "hub_reachable": reachable,
        "hub_error": away[0].why if away else None if uplinks else "no hub is configured",
        "hub_since": _since((away or uplinks)[0]) if uplinks else time.time(),
        "hubs": [_hub(one) for one in uplinks],
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
            "disk_floor": room.floor,
        },
        "warnings": keeper.complaints(uid, all_users=all_users and uid == 0)
        + [text for one in kept for text in one.warnings],
        "runs": runs,
    }


def _uplinks(keeper: Keeper, uid: int, *, all_users: bool) -> list[Uplink]:
    """Those whose state matters to who asks, the default one first; the daemon's own for who has none yet."""
    found = list(keeper.uplinks) if all_users and uid == 0 else keeper.uplinks.of_user(uid)
    found = found or keeper.uplinks.of_user(os.geteuid())
    return sorted(found, key=lambda one: (one.url != keeper.config.hub, one.url, one.uid))


def _hub(uplink: Uplink) -> dict[str, Any]:
    return {
        "hub": uplink.url,
        "uid": uplink.uid,
        "reachable": uplink.open,
        "error": uplink.why,
        "since": _since(uplink),
    }


def _since(uplink: Uplink) -> float:
    return time.time() - (trio.current_time() - uplink.breaker.since)


def _run(keeper: Keeper, attempt: Attempt) -> dict[str, Any]:
    files, why, now = attempt.pending_files(), why_of(keeper, attempt), trio.current_time()
    oldest = [extents[0].at for writer in attempt.tails if (extents := attempt.pending(writer))] + [
        version.at or now - max(0.0, time.time() - version.time) for version in files
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
        "uploads": uploads(keeper, attempt),
        "snapshots": snapshots(attempt),
        "lost": attempt.lost,
        "deleted": bool(attempt.deleted),
        "why": why[0],
        "advice": why[1],
    }


def why_of(keeper: Keeper, attempt: Attempt) -> tuple[str | None, str | None]:
    """Why something of this attempt is still here, and what to do about it."""
    blocked = next((one.blocked for one in keeper.readers_of(attempt) if one.blocked), None)
    if blocked:
        return blocked, "check the disk; what the hub has is safe, restart the job on another disk"
    if not (attempt.pending_records() or attempt.pending_files() or attempt.unreported()):
        return None, None
    if attempt.deleted:
        return attempt.deleted, "`respool spool purge` removes what this node still holds of it"
    uplink = keeper.uplink_of(attempt)
    if uplink is None:
        return "no hub is configured", "set RESPOOL_HUB_URL or hub in respoold.toml and restart the daemon"
    return _why_unsent(uplink, attempt)


def _why_unsent(uplink: Uplink, attempt: Attempt) -> tuple[str | None, str | None]:
    if attempt.pass_.stuck:
        start = f"start a process of yours that has it: respool login {uplink.url}, or RESPOOL_API_KEY"
        return attempt.held or f"it waits for its user's own key for {uplink.url}", start
    if uplink.shut or uplink.denied:
        return uplink.why, f"run: respool login {uplink.url}"
    if not uplink.open:
        away = f"the hub is away: {uplink.why}"
        return away, "what lies here is safe; it is tried again by itself"
    if attempt.held:
        return attempt.held, "it is tried again by itself; the hub's log says more"
    if attempt.no_room:
        return attempt.no_room[0], f"{attempt.no_room[1]} Rows go on, and it is tried again by itself."
    if not attempt.registered:
        return "waiting to be registered at the hub", None
    return "being sent", None
