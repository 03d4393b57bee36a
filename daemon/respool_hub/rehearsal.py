"""Trying a transaction: it is carried out and undone, and raises what it would have raised."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from respool_hub.hub import Hub
from respool_hub.store.ports import Transaction


class _UndoneError(Exception):
    """It would have gone well."""


async def rehearse(hub: Hub, work: Callable[[Transaction], object]) -> None:
    """Raises what `work` raises; changes nothing."""

    def undone(tx: Transaction) -> None:
        work(tx)
        raise _UndoneError

    with suppress(_UndoneError):
        await hub.write(undone)
