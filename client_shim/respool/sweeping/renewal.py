"""A lease that is kept alive while its run is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from respool import notices
from respool.sweeping.assignment import Assignment
from respool.sweeping.foreman import Foreman

RENEWALS = 6
"""How often a lease is renewed while it lasts."""


class Renewal:
    """Keeps a lease while a run is at work, in a thread of its own; `stop` is called once when the run is to end."""

    def __init__(self, foreman: Foreman, work: Assignment, stop: Callable[[], None]) -> None:
        self._foreman, self._work, self._stop = foreman, work, stop
        self._done, self._ending = threading.Event(), threading.Lock()
        self.stopped = False
        self._thread = threading.Thread(target=self._keep, name="respool-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # From here on the run is over: a stop that is under way arrives before, none begins after.
        try:
            with self._ending:
                self._done.set()
        finally:
            self._done.set()  # what that stop raises here must not keep the lease for ever

    def _keep(self) -> None:
        while not self._done.wait(self._work.lease_seconds / RENEWALS):
            order = self._foreman.orders(self._work.lease)
            if order == "lost" and not self._done.is_set():
                notices.warn(
                    f"lost {self._work.lease}", f"run {self._work.run_id} was given to another agent."
                )
            with self._ending:
                if order == "stop" and not self.stopped and not self._done.is_set():
                    self.stopped = True
                    self._stop()
