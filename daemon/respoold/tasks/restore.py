"""Giving a file of a run back: from this node's spool when the newest version lies here, else from the hub."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NoReturn

import trio
from blake3 import blake3

from respool.wire.file_messages import Restore, Restored
from respool.wire.frames import NO_STEP
from respool.wire.identity import BadNameError, run_id_of, split_run_path
from respoold.core import hubapi
from respoold.core.attempt import Attempt
from respoold.core.cuts import CHUNK
from respoold.core.errors import HubAway, HubDenied, HubRefused
from respoold.core.file_version import Blob, FileVersion
from respoold.io import blobs, chunks
from respoold.io.hub import HubDoor
from respoold.tasks import recall
from respoold.tasks.asker import Asker, RunPath
from respoold.tasks.keeper import Keeper
from respoold.tasks.shown import Shown, shown


async def restore(keeper: Keeper, asker: Asker, message: Restore) -> tuple[Restored, int | None]:
    """The newest version that the run's lineage shows, and its descriptor; the caller closes it."""
    try:
        entity, project, run_id = run_of(message.run, asker.attempt)
    except BadNameError as error:
        return Restored(error=str(error)), None
    here = keeper.node.of_run(asker.uid, (project, run_id))
    for one in here:
        for reader in keeper.readers_of(one):
            while keeper.look(reader):
                await trio.lowlevel.checkpoint()
    found = _newest(await shown(here, asker.attempt), message.name)
    if found is not None:
        answer, fd = await trio.to_thread.run_sync(_open_local, *found)
        if fd is not None or found[1].state is not Blob.SENT:
            return answer, fd
        keeper.warn(f"{answer.error}; the hub's copy is given back", f"damaged {found[1].token}", asker.uid)
    entity = entity or next((one.entity for one in reversed(here) if one.entity), None)
    run = (entity, project, run_id)
    answer, fd = await _from_hub(keeper, asker.door(keeper, run), run, message.name)
    # One that began here without a parent has no files but its own, hub or no hub.
    began = message.run is None and asker.attempt is not None and not asker.attempt.file.resumed
    return answer._replace(uncertain=answer.uncertain and not began), fd


def run_of(named: str | None, attempt: Attempt | None) -> RunPath:
    """(entity, project, run id) that a client means; its attempt's own for None. Raises BadNameError."""
    if named is None:
        if attempt is None:
            raise BadNameError("no run was named and this connection has none; pass run_path=PROJECT/RUN_ID")
        return attempt.entity, *attempt.run
    entity, project, run_id = split_run_path(named)
    if project is None:
        if attempt is None:
            raise BadNameError(f"run {named!r} names no project; write PROJECT/RUN_ID")
        project = attempt.run[0]
    return entity, project, run_id_of(run_id)


def _newest(chain: Iterable[Shown], name: str) -> tuple[Attempt, FileVersion] | None:
    for part in chain:
        attempt = part.attempt
        versions = [
            one
            for one in attempt.files.values()
            if one.name == name
            and one.state is not Blob.MISSING
            and part.shows(None if one.step == NO_STEP else one.step, one.writer)
        ]
        if versions:
            version = max(versions, key=lambda one: one.seq)
            if os.path.exists(blobs.path_of(attempt.directory, version.token)):
                return attempt, version
            return None
    return None


def _open_local(attempt: Attempt, version: FileVersion) -> tuple[Restored, int | None]:
    """The snapshot, if it still is what was saved: of one that was never hashed only the size is known."""
    try:
        fd = os.open(
            blobs.path_of(attempt.directory, version.token), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        )
    except OSError as error:
        return Restored(error=f"{version.name} cannot be read in this spool ({error})"), None
    size = os.fstat(fd).st_size
    if size != version.size:
        os.close(fd)
        return Restored(error=f"{version.name} has {size} bytes here, {version.size} were saved"), None
    if version.digest and not _is(fd, version):
        os.close(fd)
        return Restored(error=f"{version.name} is damaged in this spool"), None
    step = None if version.step == NO_STEP else version.step
    return Restored(size, version.digest, attempt.id, step, "this node's spool"), fd


def _is(fd: int, version: FileVersion) -> bool:
    """Whether a file's bytes have the digest under which it went to the hub; a large one's is its manifest's."""
    try:
        if version.size > CHUNK:
            return chunks.hash_file(fd, version.size).digest == version.digest
        return blake3(os.pread(fd, version.size, 0)).hexdigest() == version.digest
    except (OSError, blobs.BlobGoneError):
        return False


async def _from_hub(
    keeper: Keeper, hub: HubDoor | None, run: RunPath, name: str
) -> tuple[Restored, int | None]:
    if hub is None:
        return Restored(error=f"{name!r} is not on this node and no hub is configured"), None
    path = (run[0] or "-", run[1], run[2])
    try:
        return await _download(keeper, hub, path, name)
    except HubRefused as error:
        why, known = f"{error.problem.cause} {error.problem.advice}".strip(), error.problem.code == "missing"
        return Restored(error=why, uncertain=not known), None
    except (HubAway, HubDenied) as error:
        why = f"{name!r} is not on this node and the hub does not give it: {error}"
        return Restored(error=why, uncertain=True), None
    except OSError as error:
        why = f"{name!r} cannot be brought from the hub: the spool {keeper.root}: {error}"
        return Restored(error=why, uncertain=True), None


async def _download(
    keeper: Keeper, hub: HubDoor, run: tuple[str, str, str], name: str
) -> tuple[Restored, int | None]:
    fd, digest, size = None, blake3(), 0
    async with hub.open_file(run, name) as response:
        headers = response.headers
        expected = headers.get("X-Respool-Digest", "")
        if not headers.get("X-Respool-Chunks"):
            fd = os.open(keeper.root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                async for piece in response.aiter_raw(1 << 20):
                    await trio.to_thread.run_sync(_store, fd, piece, digest)
                    size += len(piece)
                if digest.hexdigest() != expected:
                    await _blame(hub, name, expected)
            except BaseException:
                os.close(fd)
                raise
    if fd is None:
        # It lies in chunks: several ranges at once, each chunk checked, and gone on with after a failure.
        fd = await recall.fetch(hub, run, expected, keeper.root)
        size = os.fstat(fd).st_size
    step = headers.get("X-Respool-Step", "")
    number = int(step) if step.lstrip("-").isdigit() else None
    return Restored(size, expected, headers.get("X-Respool-Attempt", ""), number, "the hub"), fd


async def _blame(hub: HubDoor, name: str, expected: str) -> NoReturn:
    """It did not come as it was: say whether the hub has it so."""
    if expected and not await hub.holds(expected):
        raise HubRefused(410, hubapi.damaged(name, 1))
    raise HubAway(f"{name!r} arrived damaged: it is not {expected[:12]}")


def _store(fd: int, piece: bytes, digest: blake3) -> None:
    digest.update(piece)
    view = memoryview(piece)
    while view:
        view = view[os.write(fd, view) :]
