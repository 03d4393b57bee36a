"""The run that a callback logs into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from respool import current
from respool.errors import UsageError

if TYPE_CHECKING:
    from respool.run_handle import Run


def the_run(callback: str) -> Run:
    """The current run. Raises UsageError when there is none."""
    if current.run is None:
        raise UsageError(f"{callback}() needs a run to log into. Call respool.init() first.")
    return current.run
