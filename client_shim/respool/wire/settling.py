"""When a file that somebody writes to counts as written: it has looked the same for SETTLED_SECONDS."""

from __future__ import annotations

from typing import NamedTuple

SETTLED_SECONDS = 2.0
"""How long a file must have looked the same to count as written."""

QUIET_SECONDS = 30.0
"""How long one that the daemon watches, and has not taken by then: somebody has it open for writing, and never closes
it, like a log. Only the shim may take that one, inside a call of the script, which then does not write to it."""


class Stamp(NamedTuple):
    """What changes when a file does."""

    inode: int
    size: int
    changed: int


class Kept(NamedTuple):
    """A saved file: where it lies, what the run calls it, as what it was kept last, by which record, and how it looked
    since when. `watched`: the daemon said that it looks at it.
    """

    path: str
    name: str
    policy: str
    kept: Stamp | None
    token: str = ""
    seen: Stamp | None = None
    since: float = 0.0
    watched: bool = False

    def looked(self, stamp: Stamp | None, now: float, seconds: float = SETTLED_SECONDS) -> tuple[Kept, bool]:
        """It looks like this now (None: it is not there); and whether that is new content, the same for `seconds`."""
        if stamp is None or stamp == self.kept:
            return self, False
        if stamp != self.seen or now < self.since:
            return self._replace(seen=stamp, since=now), False
        return self, now - self.since >= seconds
