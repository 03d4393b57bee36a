"""What a daemon writes down about attempts for itself: progress, and the leases on folders that are not its own."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio

from respoold.core.attempt import Attempt
from respoold.core.progress import progress_of
from respoold.io import disk
from respoold.io.lease import Lease


class Notes:
    """The progress of every attempt in the spool at `root`, and of those that were adopted."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._saved: dict[str, float] = {}
        self._leases: dict[str, Lease] = {}

    def read(self, attempt_id: str, directory: str, *, own: bool) -> dict[str, Any]:
        """What was saved of an attempt; empty when nothing was."""
        progress = disk.read_progress(directory)
        return progress if own or progress else disk.read_progress(disk.notes_folder(self._root, attempt_id))

    def save(self, attempt: Attempt, *, at_most_every: float = 0.0) -> None:
        """Write an attempt's progress, unless that was done just now."""
        now = trio.current_time()
        if now - self._saved.get(attempt.id, -1e9) >= at_most_every:
            self._saved[attempt.id] = now
            with suppress(OSError):
                disk.write_progress(self._place(attempt), progress_of(attempt))

    def lease(self, attempt: Attempt) -> None:
        """Be known to others who read this folder, before anything in it is read: from then on nothing is deleted."""
        self._leases[attempt.id] = Lease(attempt.directory)

    def alone(self, attempt: Attempt) -> bool:
        """Whether nobody else reads this attempt's folder, so that it may be deleted."""
        lease = self._leases.get(attempt.id)
        return lease is None or lease.alone()

    def share(self, attempt: Attempt) -> None:
        """It was not deleted after all."""
        if attempt.id in self._leases:
            self._leases[attempt.id].share()

    def forget(self, attempt: Attempt) -> None:
        """The attempt is let go."""
        self._saved.pop(attempt.id, None)
        if attempt.id in self._leases:
            self._leases.pop(attempt.id).close()
            disk.drop_notes(self._root, attempt.id)

    def _place(self, attempt: Attempt) -> str:
        """An adopted folder is only read until its run is over, or something in it was deleted: then who reads there
        must know what that was.
        """
        if not attempt.adopted or attempt.over or attempt.base:
            return attempt.directory
        return disk.make_notes(self._root, attempt.id)
