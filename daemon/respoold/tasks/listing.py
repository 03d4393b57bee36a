"""The checkpoints of a run, from this node's spool and from the hub, and the way back of their parts."""

from __future__ import annotations

import os
from typing import Any

import trio

from respool.wire.file_messages import Checkpoints, CheckpointsAsked, Restored, RestorePart
from respool.wire.frames import NO_STEP
from respool.wire.identity import BadNameError
from respool.wire.shares import is_whole, of_one_save, told_by
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Share, Stage, is_later_save
from respoold.core.errors import HubAway, HubDenied, HubRefused
from respoold.io import blobs, chunks
from respoold.tasks import belief, recall
from respoold.tasks.asker import Asker, RunPath
from respoold.tasks.keeper import Keeper
from respoold.tasks.restore import run_of
from respoold.tasks.shown import shown

Told = dict[str, Any]


async def listed(keeper: Keeper, asker: Asker, message: CheckpointsAsked) -> Checkpoints:
    """What the history shows, the newest first. What lies here and has not come to the hub is newer than all there
    is; the hub knows of the rest which ranks of other nodes have committed.
    """
    attempt = asker.attempt
    try:
        run = run_of(message.run, attempt)
    except BadNameError as error:
        return Checkpoints(error=str(error))
    local = await _local(keeper, asker.uid, run, attempt)
    try:
        remote = await _remote(keeper, asker, run)
    except (HubAway, HubDenied, HubRefused) as error:
        # A run of this node may be none that the hub knows; one that was named and is nowhere has a wrong name.
        here = message.run is None or keeper.node.of_run(asker.uid, run[1:])
        missing = isinstance(error, HubRefused) and error.problem.code == "missing" and bool(here)
        # One that began here without a parent has none but its own.
        began = message.run is None and attempt is not None and not attempt.file.resumed
        if not (local or missing or began):
            return Checkpoints(error=f"{'/'.join(run[1:])} has none on this node: {error}")
        remote = None
    merged = local if remote is None else _merged(_not_dropped(local, remote), remote)
    found = [one for one in merged if message.name in {None, one["name"]}]
    return Checkpoints(found)


async def part(keeper: Keeper, asker: Asker, message: RestorePart) -> tuple[Restored, int | None]:
    """One part, from this node's spool if it lies here, else from the hub; the caller closes the descriptor."""
    answer = await listed(keeper, asker, CheckpointsAsked(message.run, message.name))
    wanted = (message.step, message.attempt_id)
    chosen = [
        one for one in answer.checkpoints if wanted in {(one["step"], one["attempt_id"]), (one["step"], None)}
    ]
    if not chosen:
        where = f"checkpoint {message.name} at step {message.step}"
        return Restored(error=answer.error or f"there is no {where}", uncertain=bool(answer.error)), None
    one = chosen[0]
    for told in one["parts"]:
        if (told["rank"], told["name"]) == (message.rank, message.part):
            return await _fetched(keeper, asker, one, told, run_of(message.run, asker.attempt))
    return Restored(error=f"that checkpoint has no part {message.part!r} of rank {message.rank}"), None


async def _fetched(
    keeper: Keeper, asker: Asker, one: Told, told: Told, run: RunPath
) -> tuple[Restored, int | None]:
    here, damaged = await trio.to_thread.run_sync(_opened, told.get("path"), told["size"])
    if damaged:
        about = f"damaged {told['path']}"
        keeper.warn(
            f"checkpoint {one['name']} at step {one['step']} is damaged in this spool", about, asker.uid
        )
    if here is not None:
        return Restored(
            told["size"], told["digest"], one["attempt_id"], one["step"], "this node's spool"
        ), here
    door = asker.door(keeper, run)
    if door is None or not told["digest"]:
        lying = "are damaged on this node" if damaged else "are not on this node"
        return Restored(error=f"its bytes {lying} and no hub has them", uncertain=True), None
    folder = os.path.join(keeper.root, f"u{asker.uid}")
    try:
        fd = await recall.fetch(door, (run[0] or "-", run[1], run[2]), told["digest"], folder)
    except (HubAway, HubDenied, HubRefused, OSError) as error:
        return Restored(error=f"the hub does not give it: {error}", uncertain=True), None
    return Restored(told["size"], told["digest"], one["attempt_id"], one["step"], "the hub"), fd


def _opened(path: str | None, size: int) -> tuple[int | None, bool]:
    """A descriptor of a whole snapshot in this spool, or None; and whether it lies here, but not as it was."""
    if path is None:
        return None, False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None, False
    folder, token = os.path.split(path)
    whole = os.fstat(fd).st_size == size
    if whole and chunks.intact(os.path.dirname(folder), token, fd, size):
        return fd, False
    os.close(fd)
    return None, whole


async def _local(keeper: Keeper, uid: int, run: RunPath, attempt: Attempt | None) -> list[Told]:
    here = keeper.node.of_run(uid, run[1:])
    for one in here:
        for reader in keeper.readers_of(one):
            while keeper.look(reader):
                await trio.lowlevel.checkpoint()
    found: dict[tuple[str, int], list[tuple[Attempt, Share]]] = {}
    for part in reversed(await shown(here, attempt)):
        one = part.attempt
        for share in one.checkpoints:
            at = share.step if share.logged is None else share.logged
            if share.here and part.shows(at, share.writer):
                known = found.pop((share.name, share.step), [])
                found[share.name, share.step] = [*(old for old in known if old[0] is one), (one, share)]
    return [_told(of_one_save(shares, lambda one: one[1].place)) for shares in found.values()][::-1]


def _told(shares: list[tuple[Attempt, Share]]) -> Told:
    attempt, newest = max(shares, key=lambda one: one[1].seq)
    world = newest.world
    parts = [
        (share.rank, part) for _, share in sorted(shares, key=lambda one: one[1].rank) for part in share.parts
    ]
    whole = all(blobs.size_of(attempt.directory, part.token) == part.size for _, part in parts) and all(
        belief.believed(attempt, share) for _, share in shares
    )
    return {
        "name": newest.name,
        "step": newest.step,
        "logged_step": newest.logged if newest.logged not in {None, NO_STEP} else newest.step,
        "time": newest.time,
        "attempt_id": attempt.id,
        "number": attempt.number,
        "metadata": told_by([share.metadata for _, share in shares]),
        "world": world,
        "ranks": sorted(share.rank for _, share in shares),
        "complete": whole and is_whole(share.place for _, share in shares),
        "pinned": any(share.pinned for _, share in shares),
        "size": sum(part.size for _, part in parts),
        "source": "spool",
        "waiting": any(share.stage is Stage.PENDING for _, share in shares),
        "parts": [
            {
                "rank": rank,
                "name": part.name,
                "size": part.size,
                "digest": "",
                "path": blobs.path_of(attempt.directory, part.token),
            }
            for rank, part in parts
        ],
    }


async def _remote(keeper: Keeper, asker: Asker, run: RunPath) -> list[Told] | None:
    """What the hub shows; None where no hub is configured."""
    uplink, door = asker.uplink(keeper), asker.door(keeper, run)
    if uplink is None or door is None:
        return None
    if not uplink.open:
        raise HubAway(uplink.why or "the hub does not answer")
    with trio.move_on_after(keeper.config.handshake):
        return [_pathless(one) for one in await door.checkpoints((run[0] or "-", run[1], run[2]))]
    raise HubAway(f"the hub gave no answer within {keeper.config.handshake:.0f} s")


def _pathless(one: Told) -> Told:
    """What a hub says, without a word on what is to be opened on this node: the user may have brought that hub."""
    return {**one, "parts": [{name: part[name] for name in part if name != "path"} for part in one["parts"]]}


def _not_dropped(local: list[Told], remote: list[Told]) -> list[Told]:
    """Without those that the hub had and shows no more: a copy that still lies here brings none back."""
    there = {(one["name"], one["step"], one["attempt_id"]) for one in remote}
    return [one for one in local if one["waiting"] or (one["name"], one["step"], one["attempt_id"]) in there]


def _merged(local: list[Told], remote: list[Told]) -> list[Told]:
    """One list: of what both have, the hub's word on who has committed and the spool's bytes. What has not come to
    the hub stands where the spool's order puts it among what has: the newest was sent first.
    """
    there = {(one["name"], one["step"], one["attempt_id"]): one for one in remote}
    mine = {(one["name"], one["step"], one["attempt_id"]): one for one in local}
    waiting, merged = list(mine), list[Told]()
    for key, one in there.items():
        ahead = waiting.index(key) if key in waiting else _fresh(waiting, there)
        merged += [mine[each] for each in waiting[:ahead] if each not in there]
        waiting = waiting[ahead + (key in waiting) :]
        merged.append(_joined(one, mine.get(key)))
    return merged + [mine[each] for each in waiting if each not in there]


def _fresh(waiting: list[Any], there: dict[Any, Told]) -> int:
    """How many at the beginning the hub has not got."""
    return next((at for at, key in enumerate(waiting) if key in there), len(waiting))


def _joined(remote: Told, local: Told | None) -> Told:
    if local is None:
        return remote
    if is_later_save(local, remote):
        # Its bytes are not what the hub has under that name.
        return local if local["complete"] else remote
    paths = {(part["rank"], part["name"], part["size"]): part["path"] for part in local["parts"]}
    parts = [
        part | {"path": paths.get((part["rank"], part["name"], part["size"]))} for part in remote["parts"]
    ]
    held = all(part["path"] for part in parts)
    return {**remote, "parts": parts, "source": "spool" if held else "hub"}
