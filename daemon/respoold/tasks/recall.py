"""Bringing parts of checkpoints back from the hub: by ranges, several at once, checked, and gone on with later.

Whoever asks for what is on its way already waits for that: the ranks of a node restore the same part at one time.
"""

from __future__ import annotations

import os

import trio

from respoold.core import hubapi
from respoold.core.errors import HubAway, HubError, HubRefused
from respoold.core.hubapi import Manifest
from respoold.io.hub import HubDoor, run_path
from respoold.io.partial import Partial

RESTORING = "restoring"
MOST_ASKED = 16
"""Chunks of one span after which the hub is asked when they came wrong; it reads each anew."""

Run = tuple[str, str, str]


class Passenger:
    """One who waits for a fetch of another's. `fd` is its own descriptor, -1 if the fetch came to nothing."""

    def __init__(self) -> None:
        self.landed = trio.Event()
        self.fd = -1


_under_way: dict[str, list[Passenger]] = {}
"""By the path that is being fetched to."""


async def fetch(hub: HubDoor, run: Run, digest: str, folder: str) -> int:
    """A descriptor of the part `digest` of a run, whole and checked; the caller closes it. What came before a failure
    stays in `folder`, and is not asked for again. Raises HubAway, HubDenied, HubRefused, OSError.
    """
    # Asked by each: it is the hub that says who may have it.
    manifest = await hub.manifest(run, digest)
    path = os.path.join(folder, RESTORING, digest)
    while path in _under_way:
        fd = await _waited(path)
        if fd >= 0:
            return fd
    passengers = _under_way[path] = []
    try:
        fd = await _fetch(hub, f"{run_path(run)}/parts/{digest}", path, manifest)
        for one in passengers:
            one.fd = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        return fd
    finally:
        del _under_way[path]
        for one in passengers:
            one.landed.set()


async def _waited(path: str) -> int:
    mine = Passenger()
    _under_way[path].append(mine)
    try:
        await mine.landed.wait()
    except trio.Cancelled:
        if mine.fd >= 0:
            os.close(mine.fd)
        elif not mine.landed.is_set():
            _under_way[path].remove(mine)
        raise
    return mine.fd


async def _fetch(hub: HubDoor, address: str, path: str, manifest: Manifest) -> int:
    partial = await trio.to_thread.run_sync(Partial, path, manifest)
    try:
        spans = await trio.to_thread.run_sync(partial.missing)
        await _get_all(hub, address, partial, spans)
        return partial.take()
    finally:
        partial.close()


async def _get_all(hub: HubDoor, path: str, partial: Partial, spans: list[tuple[int, int]]) -> None:
    """All at once, as many as the door lets through. Raises the first error of any, alone."""
    errors: list[HubError | OSError] = []

    async def get(start: int, end: int) -> None:
        try:
            await _get(hub, path, partial, start, end)
        except (HubError, OSError) as error:
            errors.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for span in spans:
            nursery.start_soon(get, *span)
    if errors:
        raise errors[0]


async def _get(hub: HubDoor, path: str, partial: Partial, start: int, end: int) -> None:
    """A span, and once more if it did not come as it should: unless it is the hub's own copy that is not right."""
    try:
        if not await _try(hub, path, partial, start, end):
            return
    except HubAway:
        # It comes in order: what is missing first is what the hub could not go on with, if that is why.
        bad = await trio.to_thread.run_sync(partial.bad_in, start, end)
        await _blame(hub, path, partial, bad[:1])
        raise
    bad = await _try(hub, path, partial, start, end)
    if bad:
        raise HubAway(f"{len(bad)} chunks of {os.path.basename(path)[:12]} came damaged")


async def _try(hub: HubDoor, path: str, partial: Partial, start: int, end: int) -> list[int]:
    """The chunks that came, and not as they should. Raises HubRefused for what the hub has not got whole."""
    at = start

    def take(data: memoryview) -> None:
        nonlocal at
        partial.put(data, at)
        at += len(data)

    await hub.get_span(path, start, end, take)
    bad = await trio.to_thread.run_sync(partial.bad_in, start, end)
    await _blame(hub, path, partial, bad)
    return bad


async def _blame(hub: HubDoor, path: str, partial: Partial, bad: list[int]) -> None:
    """Ask the hub whether it has these as they were. Raises HubRefused if not."""
    broken = [index for index in bad[:MOST_ASKED] if not await hub.holds(partial.name_of(index))]
    if broken:
        raise HubRefused(410, hubapi.damaged(os.path.basename(path)[:12], len(broken)))
