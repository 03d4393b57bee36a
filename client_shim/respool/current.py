"""The run that the module's functions mean, and those that must be told of a fork."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from respool.run_handle import Run

run: Run | None = None
_watched: list[Run] = []
_registered = False


def enter(new: Run) -> None:
    """`new` is the current run from now on."""
    global run, _registered  # noqa: PLW0603 - `respool.run` is a module attribute by contract
    run = new
    _watched.append(new)
    if not _registered:
        os.register_at_fork(after_in_child=_forked)
        _registered = True


def leave(old: Run) -> None:
    """`old` is over."""
    global run  # noqa: PLW0603 - as above
    if old in _watched:
        _watched.remove(old)
    if run is old:
        run = _watched[-1] if _watched else None


def open_runs() -> list[Run]:
    """The runs that this process has open."""
    return [each for each in _watched if not each.inherited]


def _forked() -> None:
    for each in _watched:
        each.forked()
