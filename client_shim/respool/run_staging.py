"""The memory that a run stages its checkpoints in: made by the first one, kept for the next, given back at the end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from respool import notices
from respool.run_files import RunFiles

if TYPE_CHECKING:
    from respool.arena import Arena


_turn = threading.Lock()


class RunStaging(RunFiles):
    """`_arena` gives the memory, `_settle_staged` and `_unstage` wait for what is in it."""

    def _arena(self) -> Arena | None:
        """The memory to stage in, once what is in it is on disk, for the one who asks until he lets it go. None where
        there is none to be had, or another checkpoint is being written into it: that one must not be overwritten, and
        to wait for it might be for ever.
        """
        if not _turn.acquire(blocking=False):
            return None
        try:
            found = None if self._staging is not None and self._staging.taken else self._free_arena()
            if found is not None:
                found.taken = True
        finally:
            _turn.release()
        return found

    def _free_arena(self) -> Arena | None:
        from respool.arena import Arena  # noqa: PLC0415 - only those who stage need it

        try:
            if self._staging is None:
                self._staging = Arena()
            elif not self._staging.free():
                _say_lost()
        except OSError as error:
            self._staging = None
            notices.warn(
                "arena", f"checkpoint(staged=True): no shared memory ({error.strerror}); written directly."
            )
        return self._staging

    def _settle_staged(self) -> bool:
        """Wait until what is staged is on disk; whether it got there."""
        whole = self._staging is None or self._staging.settled()
        if not whole:
            _say_lost()
        return whole

    def _unstage(self) -> bool:
        """As `_settle_staged`, and give the memory back."""
        whole = self._settle_staged()
        staging, self._staging = self._staging, None
        if staging is not None and not staging.taken:
            staging.close()
        return whole


def _say_lost() -> None:
    notices.alarm("staged", "a staged checkpoint did not get to the disk. Look at `respool status`.")
