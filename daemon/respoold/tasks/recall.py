"""Bringing parts of checkpoints back from the hub: by ranges, several at once, checked, and gone on with later."""

from __future__ import annotations

import os

import trio

from respoold.core.errors import HubAway, HubError
from respoold.io.hub import HubDoor, run_path
from respoold.io.partial import Partial

RESTORING = "restoring"

Run = tuple[str, str, str]


async def fetch(hub: HubDoor, run: Run, digest: str, folder: str) -> int:
    """A descriptor of the part `digest` of a run, whole and checked; the caller closes it. What came before a failure
    stays in `folder`, and is not asked for again. Raises HubAway, HubDenied, HubRefused, OSError.
    """
    manifest = await hub.manifest(run, digest)
    partial = await trio.to_thread.run_sync(Partial, os.path.join(folder, RESTORING, digest), manifest)
    try:
        spans = await trio.to_thread.run_sync(partial.missing)
        await _get_all(hub, f"{run_path(run)}/parts/{digest}", partial, spans)
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
    at = start

    def take(data: memoryview) -> None:
        nonlocal at
        partial.put(data, at)
        at += len(data)

    await hub.get_span(path, start, end, take)
    bad = await trio.to_thread.run_sync(partial.bad_in, start, end)
    if bad:
        raise HubAway(f"{len(bad)} chunks of {os.path.basename(path)[:12]} came damaged")
