"""What lies in the spool, and removing it: what the hub has, or on a user's word what it has not.

Never anything of a process that lives, and never what is another user's.
"""

from __future__ import annotations

from typing import Any

import trio

from respool.wire.messages import Spooled, SpoolRequest
from respoold.config import Config
from respoold.core.attempt import Attempt
from respoold.io import disk, processes
from respoold.tasks.adopt import adopt_spool
from respoold.tasks.keeper import Keeper


async def answer(keeper: Keeper, uid: int, asked: SpoolRequest) -> Spooled:
    """Each attempt that was asked about (all of the user's for none), as it was; `purged` when it is gone now."""
    mine = [one for one in keeper.node if one.file.uid == uid or (asked.all_users and uid == 0)]
    chosen = [one for one in mine if not asked.attempts or one.id in asked.attempts]
    lines = []
    for attempt in chosen:
        line = _line(attempt)
        line["purged"] = asked.purge and _may(line, force=asked.force)
        if line["purged"]:
            await _purge(keeper, attempt)
        lines.append(line)
    return Spooled(lines)


async def answer_alone(config: Config, folders: list[str], uid: int, asked: SpoolRequest) -> Spooled:
    """The same of a spool that no daemon holds, and of folders that processes kept without one. Raises
    SpoolBusyError and SpoolUnusableError.
    """
    with disk.hold(config.spool) as root:
        keeper = Keeper(config, root)
        keeper.load()
        for folder in folders:
            adopt_spool(keeper, folder)
        for reader in list(keeper.readers.values()):
            while keeper.look(reader):
                await trio.lowlevel.checkpoint()
        return await answer(keeper, uid, asked)


def _may(line: dict[str, Any], *, force: bool) -> bool:
    return line["keep"] == "" or (force and line["keep"] == "unsent")


def _line(attempt: Attempt) -> dict[str, Any]:
    used, request = disk.usage(attempt.directory), attempt.request
    return {
        "attempt_id": attempt.id,
        "entity": attempt.entity,
        "project": request.project,
        "run_id": request.run_id,
        "number": attempt.number,
        "state": str(attempt.state),
        "uid": attempt.file.uid,
        "directory": attempt.directory,
        "row_bytes": used.rows,
        "file_bytes": used.blobs,
        "pending_records": attempt.pending_records(),
        "pending_files": len(attempt.pending_files()),
        "why": attempt.deleted or attempt.held,
        "keep": _keep(attempt),
    }


def _keep(attempt: Attempt) -> str:
    """Why it is not to be removed: "alive", "unsent"; or "": the hub has it, or wants it no more."""
    living = (one.paper.process for one in attempt.writers.values() if one.alive)
    if any(map(processes.is_alive, living)):
        return "alive"
    if attempt.adopted and attempt.elsewhere(disk.node_name()) and not attempt.over:
        return "alive"
    if attempt.complete or attempt.deleted:
        return ""
    return "unsent"


async def _purge(keeper: Keeper, attempt: Attempt) -> None:
    attempt.deleted = attempt.deleted or "It was purged."
    # Known until it is gone: a rescan in between would adopt what is left of it.
    await trio.to_thread.run_sync(disk.delete_attempt, attempt.directory)
    keeper.resolve(f"deleted {attempt.id}", attempt.file.uid)
    keeper.resolve(attempt.id, attempt.file.uid)
    keeper.forget(attempt)
    keeper.progress.moved()
