"""A shared hold on a folder that several may read: who wants to delete it must be the only one left.

flock(2) on the folder itself. It is a courtesy between adopters of one machine, on which no correctness rests: the
hub takes every record once, whoever brings it. Where a file system has no such locks everybody counts as alone.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress


class Lease:
    """Owns a descriptor until `close`."""

    def __init__(self, directory: str) -> None:
        self._fd = -1
        with suppress(OSError):
            self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def alone(self) -> bool:
        """Whether nobody else reads here; from then on nobody else begins to while this lease lasts."""
        if self._fd < 0:
            return True
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # The attempt gave up what we held: take it again.
            with suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except OSError:
            return True
        return True

    def share(self) -> None:
        """Let others read here again after `alone`."""
        with suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
