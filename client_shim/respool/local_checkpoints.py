"""The checkpoints that lie in this node's spools, for a process that has no daemon to ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from respool import restoring, spool_history, spool_papers
from respool.keeper import Keeper
from respool.local_retention import Handed
from respool.spool_history import Earlier
from respool.spool_papers import names
from respool.spool_shown import shown
from respool.wire import codec
from respool.wire.attempt import BLOBS
from respool.wire.errors import WireError
from respool.wire.frames import Frame, Kind
from respool.wire.segment import parse_segment_name
from respool.wire.shares import Place, is_whole, of_one_save, told_by

Shares = dict[int, dict[str, Any]]
"""By rank, the newest record of a checkpoint."""


def listed(keeper: Keeper, name: str | None, run: str | None) -> list[tuple[dict[str, Any], Any]]:
    """(what is known of it, how to fetch a part) of each checkpoint that the history shows, the newest first."""
    found = _shown(keeper, name, run)
    there = {key: place for key, place in found.items() if not _removed(*place)}
    return [(_told(key, *place), _fetch(*place)) for key, place in there.items()]


def earlier(keeper: Keeper) -> list[Handed]:
    """Those whole ones that earlier lives of this run left in this spool, of all their ranks, the newest first."""
    own = keeper.attached.attempt_id
    places = [place for place in _shown(keeper, None, None).values() if place[0].file.attempt_id != own]
    return [_handed(attempt, shares) for attempt, shares in places if _all_here(attempt, shares)]


def _all_here(attempt: Earlier, shares: Shares) -> bool:
    parts = [part for share in shares.values() for part in share["parts"]]
    return is_whole(map(_place, shares.values())) and all(_whole(attempt, part) for part in parts)


def _handed(attempt: Earlier, shares: Shares) -> Handed:
    told = shares[min(shares)]
    files = tuple(_path(attempt, part) for share in shares.values() for part in share["parts"])
    keep, score = told.get("keep"), told.get("score")
    keep = keep if isinstance(keep, dict) else {}
    score = float(score) if isinstance(score, (int, float)) else None
    pinned = any(share.get("pinned") for share in shares.values())
    return Handed(str(told.get("name")), int(told["step"]), files, keep, score, pinned)


def _shown(
    keeper: Keeper, name: str | None, run: str | None
) -> dict[tuple[str, int], tuple[Earlier, Shares]]:
    """By (name, step), the newest first."""
    entity, project, run_id = restoring.run_of(keeper, run)
    spool = keeper.spool or os.path.dirname(keeper.attached.directory)
    attempts = spool_history.attempts_of(spool_history.roots_of(spool, os.environ), project, run_id, entity)
    own = [one for one in attempts if one.file.attempt_id == keeper.attached.attempt_id]
    head = own[0] if own else spool_history.head_of(attempts)
    found: dict[tuple[str, int], tuple[Earlier, Shares]] = {}
    for part in shown(attempts, head):
        for key, shares in _gathered(part.attempt).items():
            if name in {None, key[0]} and part.shows(_logged(shares), _writer(shares)):
                found.setdefault(key, (part.attempt, shares))
    return found


def _gathered(attempt: Earlier) -> dict[tuple[str, int], Shares]:
    """The checkpoints of one attempt by (name, step), the newest first."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for told in _shares(attempt):
        key = (str(told.get("name")), int(told["step"]))
        found[key] = [*found.pop(key, ()), told]
    chosen = {key: of_one_save(shares, _place) for key, shares in reversed(found.items())}
    return {key: {_place(told).rank: told for told in shares} for key, shares in chosen.items()}


def _place(told: dict[str, Any]) -> Place:
    return Place(int(told.get("repeat") or 0), int(told.get("rank") or 0), int(told.get("world") or 1))


def _shares(attempt: Earlier) -> Iterator[dict[str, Any]]:
    """Each rank's records, the oldest first: those that the keeper noted, whose segments may be deleted, then the
    ones that still lie here.
    """
    yield from spool_papers.progress(attempt.directory).shares
    for writer, frame in _frames(attempt):
        record = _record(frame)
        if record is not None:
            yield {**record, "time": frame.time, "logged": frame.step, "writer": writer}


def _frames(attempt: Earlier) -> Iterator[tuple[int, Frame]]:
    numbered = ((parse_segment_name(name), name) for name in names(attempt.directory))
    for number, name in sorted((number, name) for number, name in numbered if number is not None):
        for frame in spool_history.frames_of(attempt.directory, name):
            yield number[0], frame


def _record(frame: Frame) -> dict[str, Any] | None:
    if frame.kind != Kind.CHECKPOINT:
        return None
    try:
        record = codec.unpack_map(frame.payload)
    except WireError:
        return None
    parts = record.get("parts")
    good = isinstance(parts, list) and all(isinstance(one, dict) for one in parts)
    return record if good and isinstance(record.get("step"), int) else None


def _logged(shares: Shares) -> int:
    """The last row's step when it was saved."""
    return max(int(share["logged"]) for share in shares.values())


def _writer(shares: Shares) -> int:
    """Who saved it: of several ranks the first."""
    return min(int(share["writer"]) for share in shares.values())


def _told(key: tuple[str, int], attempt: Earlier, shares: Shares) -> dict[str, Any]:
    newest = max(shares.values(), key=lambda share: float(share["time"]))
    world = int(newest.get("world") or 1)
    parts = [(rank, part) for rank, share in sorted(shares.items()) for part in share["parts"]]
    here = all(_whole(attempt, part) for _, part in parts)
    return {
        "name": key[0],
        "step": key[1],
        "logged_step": _logged(shares),
        "time": newest["time"],
        "attempt_id": attempt.file.attempt_id,
        "metadata": told_by([shares[rank].get("metadata") for rank in sorted(shares)]),
        "world": world,
        "complete": here and is_whole(map(_place, shares.values())),
        "pinned": any(share.get("pinned") for share in shares.values()),
        "source": "spool",
        "parts": [{"rank": rank, "name": str(part["name"]), "size": part["size"]} for rank, part in parts],
    }


def _fetch(attempt: Earlier, shares: Shares) -> Any:
    def fetch(part: str, rank: int) -> int:
        record = next(one for one in shares[rank]["parts"] if one["name"] == part)
        return os.open(_path(attempt, record), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    return fetch


def _removed(attempt: Earlier, shares: Shares) -> bool:
    """Whether newer ones outlived it: none of its bytes are here."""
    parts = [part for share in shares.values() for part in share["parts"]]
    return not any(os.path.lexists(_path(attempt, part)) for part in parts)


def _whole(attempt: Earlier, part: dict[str, Any]) -> bool:
    try:
        return bool(os.stat(_path(attempt, part)).st_size == part["size"])
    except OSError:
        return False


def _path(attempt: Earlier, part: dict[str, Any]) -> str:
    return os.path.join(attempt.directory, BLOBS, os.path.basename(str(part.get("blob"))))
