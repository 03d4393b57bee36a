"""Erasing what was deleted: beside everything else, bit by bit, so that nobody's append waits for it."""

from __future__ import annotations

import threading

from respool_hub.store.ports import Store, StoreError

BATCHES = 16
"""Batches of records that are erased in one transaction: 64 MiB at most."""


class Cleaner:
    """Works in the thread that calls `run`; what one leaves undone, the next does, also after a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopped = threading.Event()

    def run(self) -> None:
        """Erase all that is buried. The bytes of files are the sweep's, a day later."""
        try:
            while (
                not self._stopped.is_set() and self._store.write(lambda tx: tx.erase_some(BATCHES)).result()
            ):
                pass
        except StoreError:
            return  # the database is away; it is all still there for the next time

    def stop(self) -> None:
        """Finish what is under way and begin nothing more."""
        self._stopped.set()
