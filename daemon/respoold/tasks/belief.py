"""What is believed of the bytes in a spool after a reboot, and having them on disk before there is one.

A record may be durable before the bytes that it names: they are written back later. Bytes that were noted to be on
disk are what was handed over; of others a reboot of this machine may have left any part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import trio

from respool.process import boot_id
from respoold.core.attempt import Attempt
from respoold.core.checkpoints import Share, Stage
from respoold.core.file_version import FileVersion
from respoold.io import blobs, chunks, disk
from respoold.tasks import vault
from respoold.tasks.keeper import Keeper

SETTLE_SECONDS = 2.0
TORN = "it was not on disk when the machine went down"


def check(attempt: Attempt, share: Share) -> None:
    """Raises BlobGoneError unless its bytes are believed to be what was handed over."""
    if not believed(attempt, share):
        raise blobs.BlobGoneError(TORN)


def check_file(attempt: Attempt, version: FileVersion) -> None:
    """Raises BlobGoneError for a file's snapshot that a reboot left with holes. Unlike a checkpoint's its bytes were
    appended to a new file, so what never got to the disk is missing at its end or a hole in it.
    """
    if attempt.writers[version.writer].paper.boot_id not in {"", boot_id()} and not (
        chunks.noted(attempt.directory, version.token)
        or chunks.unbroken(attempt.directory, version.token, version.size)
    ):
        raise blobs.BlobGoneError(TORN)


def believed(attempt: Attempt, share: Share) -> bool:
    """Whether its bytes may be what was handed over: after a reboot of this machine only what was noted to be on disk
    is. That another machine, whose folder came here, lost its power nothing says; what that leaves are holes.
    """
    if attempt.writers[share.writer].paper.boot_id in {"", boot_id()}:
        return True
    elsewhere = attempt.elsewhere(disk.node_name(), share.writer)
    return all(
        chunks.noted(attempt.directory, part.token)
        or (elsewhere and chunks.unbroken(attempt.directory, part.token, part.size))
        for part in share.parts
    )


def remains(attempt: Attempt, share: Share) -> str:
    """Where the bytes lie of one that is not believed, for whoever wants to look at them; "" where there is nothing to
    look at.
    """
    if not all(chunks.unbroken(attempt.directory, part.token, part.size) for part in share.parts):
        return ""
    paths = (blobs.path_of(attempt.directory, part.token) for part in share.parts)
    return f"; it is not sent, and kept in {', '.join(paths)}"


def doubted(run: Iterable[Attempt], attempt: Attempt) -> set[str]:
    """The bytes of its checkpoints that nobody believes: all there is for a person to look at, until the hub has a
    newer one of that name from any attempt of the `run`.
    """
    sent = [share for one in run for share in one.checkpoints if share.stage is Stage.SENT]
    replaced = {share.name: max(one.time for one in sent if one.name == share.name) for share in sent}
    return {
        part.token
        for share in attempt.checkpoints
        if share.stage is Stage.MISSING and share.time > replaced.get(share.name, -1.0)
        for part in share.parts
        if chunks.unbroken(attempt.directory, part.token, part.size)
    }


async def settle_forever(keeper: Keeper, pause: float = SETTLE_SECONDS) -> NoReturn:
    """Have checkpoints and files on disk soon after they were handed over, and noted to be, whether or not a hub is
    there to take them: without that a reboot would cost all that waited for it.
    """
    settled: set[tuple[str, str]] = set()
    while True:
        await trio.sleep(pause)
        waiting = [(one.directory, *each) for one in keeper.node for each in _waiting(keeper, one)]
        settled &= {(directory, token) for directory, token, _ in waiting}
        for directory, token, size in waiting:
            if (directory, token) not in settled and await trio.to_thread.run_sync(
                _settle, directory, token, size
            ):
                settled.add((directory, token))


def _waiting(keeper: Keeper, attempt: Attempt) -> Iterable[tuple[str, int]]:
    """Token and size of each snapshot that the hub lacks and that is what was handed over."""
    for share in attempt.checkpoints.pending:
        if vault.ready(keeper, attempt, share) and believed(attempt, share):
            yield from ((part.token, part.size) for part in share.parts)
    for version in attempt.pending_versions():
        if attempt.writers[version.writer].paper.boot_id in {"", boot_id()}:
            yield version.token, version.size


def _settle(directory: str, token: str, size: int) -> bool:
    try:
        chunks.settle(directory, token, size)
    except (blobs.BlobGoneError, OSError):
        return False  # what is wrong with it is found, and said, when it is sent
    return True
