"""The run that the module's functions mean, and those that must be told of a fork."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from respool.run_handle import Run

run: Run | None = None
ended: str | None = None
"""The path of the run that ended last."""
_watched: list[Run] = []
_meant: list[Run] = []
"""Those that the module's functions mean, the present one last."""
_registered = False


def enter(new: Run, *, meant: bool = True) -> None:
    """`new` is the current run from now on, unless only its own script means it (reinit="create_new")."""
    global run, _registered  # noqa: PLW0603 - `respool.run` is a module attribute by contract
    if meant:
        run = new
        _meant.append(new)
    _watched.append(new)
    if not _registered:
        os.register_at_fork(after_in_child=_forked)
        _registered = True


def leave(old: Run) -> None:
    """`old` is over."""
    global run, ended  # noqa: PLW0603 - as above
    ended = old.path
    for known in (_watched, _meant):
        if old in known:
            known.remove(old)
    run = _meant[-1] if _meant else None


def open_runs() -> list[Run]:
    """The runs that this process has open."""
    return [each for each in _watched if not each.inherited]


def _forked() -> None:
    for each in _watched:
        each.forked()
