"""What `respool status` and `respool top` show of checkpoints and large files on their way to the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import time
from typing import Any

import trio

from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Share
from respoold.core.cuts import CHUNK
from respoold.core.file_version import FileVersion
from respoold.core.transfers import Transfer
from respoold.tasks import vault
from respoold.tasks.keeper import Keeper


def uploads(keeper: Keeper, attempt: Attempt) -> list[dict[str, Any]]:
    """Each checkpoint and each large file that the hub lacks, in the order in which they go, what was outlived while it
    is being sent first: "kind", "name", "step",
    "rank", "size", "sent" (bytes that are there or on the wire), "rate" (bytes a second, None while it does not move),
    "seconds_left" (until all of it is there, what goes before it included), "state": "writing" (from shared memory),
    "sending" or "waiting"; "deadline" (seconds since the epoch, 0 for unknown) and "deadline_source" where a
    preemption is announced, and "in_time": whether it will be there by then, None where nobody can tell.
    """
    now, ahead = trio.current_time(), 0
    moving = keeper.transfers
    chosen = [*_outlived(keeper, attempt, now), *_large(attempt)]
    waiting = [(one, moving.get(attempt.id, _key(one))) for one in chosen]
    rate = max((found.rate(now) or 0.0 for _, found in waiting if found), default=0.0)
    lines = []
    for one, transfer in waiting:
        line = _line(keeper, attempt, one, transfer, now)
        ahead += max(0, line["size"] - line["sent"])
        line["seconds_left"] = ahead / rate if rate else None
        lines.append(line | _deadline(attempt, line["seconds_left"]))
    return lines


def snapshots(attempt: Attempt) -> dict[str, int]:
    """How the snapshots of saved files were made: reflink, copy_file_range or copy, with their numbers."""
    return dict(Counter(version.how for version in attempt.files.values() if version.how))


def _large(attempt: Attempt) -> Iterator[FileVersion | Share]:
    yield from (version for version in attempt.pending_versions() if version.size > CHUNK)
    yield from attempt.checkpoints.pending


def _outlived(keeper: Keeper, attempt: Attempt, now: float) -> list[FileVersion | Share]:
    """What is still being sent although something newer has come: its turn is finished."""
    pending = {_key(one) for one in attempt.pending_files()}
    others = [one for one in (*attempt.files.values(), *attempt.checkpoints) if _key(one) not in pending]
    known = [(one, keeper.transfers.get(attempt.id, _key(one))) for one in others]
    return [one for one, found in known if found is not None and found.there < one.size and found.rate(now)]


def _key(one: FileVersion | Share) -> str | tuple[int, int]:
    return one.key if isinstance(one, Share) else one.token


def _line(
    keeper: Keeper, attempt: Attempt, one: FileVersion | Share, transfer: Transfer | None, now: float
) -> dict[str, Any]:
    share = one if isinstance(one, Share) else None
    rate = transfer.rate(now) if transfer else None
    writing = share is not None and not vault.ready(keeper, attempt, share)
    known = share.sent if share else 0
    return {
        "kind": "checkpoint" if share else "file",
        "name": one.name,
        "step": one.step if one.step >= 0 else None,
        "rank": share.rank if share and share.world > 1 else None,
        "size": one.size,
        "sent": min(one.size, max(known, transfer.there if transfer else 0)),
        "rate": rate,
        "state": "writing" if writing else "sending" if rate else "waiting",
    }


def _deadline(attempt: Attempt, seconds_left: float | None) -> dict[str, Any]:
    notice = attempt.notice
    if notice is None:
        return {"deadline": None, "deadline_source": None, "in_time": None}
    known = seconds_left is not None and notice.deadline > 0
    in_time = time() + (seconds_left or 0.0) <= notice.deadline if known else None
    return {"deadline": notice.deadline, "deadline_source": notice.source, "in_time": in_time}
