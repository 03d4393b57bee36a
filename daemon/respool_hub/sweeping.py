"""What the hub does every now and then, beside its work.

Sweeping: the bytes of dropped checkpoints and of uploads that came to nothing, while uploads go on. A blob goes
when nothing visible names it and it is older than GRACE. Whoever is asked whether it is there makes it young, and
so does the commit that names it, so an upload has a day from its question to its commit; one that takes longer is
told which chunks to send again. An upload that goes on asks every few chunks: where room is short, or somebody asks
for it, HASTE is enough.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from time import monotonic, time
from typing import NoReturn

from respool_hub import tidemark
from respool_hub.hub import Hub
from respool_hub.store.ports import StoreError

GRACE = 24 * 3600.0
HASTE = 900.0
PAUSE = 60.0
"""Seconds between two sweeps for want of room: each looks at every blob."""
EVERY = 3600.0


async def sweep(hub: Hub, grace: float = GRACE) -> tuple[int, int]:
    """How many blobs were removed, and their bytes."""
    before = time() - grace
    await hub.write(lambda tx: tx.drop_manifests())
    wanted = await hub.study(lambda reader: set(reader.wanted()))
    # By the disk's clock and not the hub's own: it is the files' times that are looked at.
    return await hub.in_thread(lambda: hub.blobs.sweep(wanted, before))


class Broom:
    """Sweeps when room is short, and not over and over."""

    def __init__(self) -> None:
        self._at = float("-inf")

    async def make_room(self, hub: Hub) -> None:
        """Sweep what is older than HASTE, unless that was done a moment ago. Raises nothing."""
        if monotonic() - self._at < PAUSE:
            return
        self._at = monotonic()
        with suppress(StoreError, OSError):  # who ran out of room hears of that
            await sweep(hub, HASTE)


async def sweep_forever(hub: Hub) -> NoReturn:
    """An hour after the start, and every hour then."""
    while True:
        await asyncio.sleep(EVERY)
        try:
            await sweep(hub)
        except (StoreError, OSError) as error:
            print(f"respool hub: nothing was swept: {error}", file=sys.stderr, flush=True)


async def mark_forever(hub: Hub) -> NoReturn:
    """Note every few seconds how far the data go."""
    while True:
        await asyncio.sleep(tidemark.EVERY)
        # A mark that cannot be written now is written with the next one; who cannot write at all hears of it
        # from the database.
        with suppress(StoreError, OSError):
            hub.tidemark.note(await hub.read(lambda reader: reader.extent()))
