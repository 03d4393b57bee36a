"""What a run keeps beside what the script logs: its console, and what it was started with."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from respool import row_codec
from respool.run_instruments import RunInstruments
from respool.run_records import LIVE
from respool.wire.frames import Kind

if TYPE_CHECKING:
    from respool.console import Console
    from respool.surroundings import DirtyCheck

LOOK_AROUND_SECONDS = 1.0
"""A script that is younger has other things to do than to start git and to list packages."""

DIRTY_SECONDS = 0.5
"""How long the end of a short script waits for git."""


class RunTelemetry(RunInstruments):
    """Console and surroundings of the primary; other writers of an attempt keep neither."""

    _console: Console | None = None
    _dirty: DirtyCheck | None = None
    _about: dict[str, Any] | None = None
    _told = False

    def listen(self) -> None:
        """Keep what is printed from now on, unless that is switched off."""
        if "console" in self._place.watched and self._primary:
            from respool.console import Console  # noqa: PLC0415 - not at import time

            self._console = Console(self._keep_line, self._cannot_keep)
        self._say_how_begun()

    @property
    def _primary(self) -> bool:
        attached = self._keeper.attached
        return self._state == LIVE and attached.writer == 0 and not attached.joined

    def _cannot_keep(self) -> bool:
        return self._off or self._lock._is_owned()  # type: ignore[attr-defined]

    def _keep_line(self, record: dict[str, Any]) -> None:
        payload = row_codec.pack_map(record)
        with self._lock:
            # Rows come first: with no room left for them, none is left for this.
            if payload is not None and not (self._off or self._keeper.supply.full or self._writer.lost):
                self._beside(Kind.CONSOLE, payload, self._step)

    def _forsake_console(self) -> None:
        console, self._console = self._console, None
        if console is not None:
            console.forsake()

    def _listen_no_more(self) -> None:
        """The run ends: what is still to be said of it is said now."""
        console, self._console = self._console, None
        if console is not None:
            console.close()
        self._look_around()
        dirty, self._dirty = self._dirty, None
        if dirty is not None:
            self._tell_dirty(dirty.wait(DIRTY_SECONDS))
            dirty.close()

    def _in_passing(self, row: dict[str, Any], at: int, flags: int, now: float) -> None:
        super()._in_passing(row, at, flags, now)
        if not self._told and not 0.0 <= now - self._started < LOOK_AROUND_SECONDS:
            self._look_around()
        elif self._dirty is not None:
            self._tell_dirty(self._dirty.poll())
            if self._dirty.over:
                self._dirty = None

    def _say_how_begun(self) -> None:
        """Record what the attempt was started with: at once, for one that dies young is the one it is asked of."""
        watched = self._place.watched
        if not self._primary or not watched & {"about", "git"}:
            return
        if self._about is None:
            from respool import surroundings  # noqa: PLC0415 - not at import time

            self._about = surroundings.facts() if "about" in watched else {}
            git = surroundings.git_facts(_program_folder()) if "git" in watched else None
            self._about |= {"git": git} if git is not None else {}
        self._record(about=self._about)

    def _look_around(self) -> None:
        """What takes longer to find out, once: whether the work tree is dirty, and the packages."""
        if self._told or not self._primary or self._about is None:
            return
        self._told = True
        from respool import surroundings  # noqa: PLC0415 - not at import time

        if "git" in self._about and "dirty" not in self._about["git"]:
            self._dirty = surroundings.DirtyCheck(_program_folder())
        if "about" in self._place.watched:
            self._record(packages=surroundings.packages())

    def _tell_dirty(self, dirty: bool | None) -> None:
        if dirty is not None and self._about is not None:
            self._about["git"] = {**self._about["git"], "dirty": dirty}
            self._record(about={"git": self._about["git"]})

    def _record(self, **values: Any) -> None:
        payload = row_codec.pack_map(values)
        if payload is not None and not self._off:
            with self._lock:
                self._beside(Kind.META, payload)


def _program_folder() -> str:
    script = os.path.abspath(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    return os.path.dirname(script) if os.path.isfile(script) else os.path.abspath(".")
