"""A job as a child: started, signalled, waited for. Signals to us are blocked and fetched, never handled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

FORWARDED = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
ENDS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""Those that are forwarded to whoever is there. The others only to who handles them: SIGUSR1 is a scheduler's
early warning, and would kill at once whoever does not expect it.
"""
NOT_FOUND, NOT_RUNNABLE = 127, 126
"""What shells say for a command that cannot be started."""
_WATCHED = FORWARDED | {signal.SIGCHLD}
_POLL_SECONDS = 0.05


class Job:
    """The child is in a process group of its own, so that the scheduler's signal to us does not reach it twice; at a
    terminal it stays in ours, where Ctrl-C reaches it anyhow. Raises OSError where `argv` cannot be run.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        # The child hears them all, whoever blocked them before us: it could not be told of its end.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        self._apart = not (sys.stdin and sys.stdin.isatty())
        self._process = subprocess.Popen(  # noqa: S603 - it is what the user asked for
            argv,
            env=environ,
            process_group=0 if self._apart else None,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before - _WATCHED),  # noqa: PLW1509 - no threads here
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, heard: Callable[[int], float | None]) -> int:
        """Until the child has ended; its exit code, negative for a signal. `heard` is told of each signal to us, and
        may answer with a time (time.monotonic()) at which the child is killed.
        """
        deadline: float | None = None
        while self._process.poll() is None:
            info = fetch(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if info is None:
                deadline = None
                self.signal(signal.SIGKILL)
            elif info != signal.SIGCHLD:
                said = heard(info)
                deadline = said if said is not None else deadline
        return self._process.returncode

    def outlived(self, seconds: float) -> None:
        """Wait for the rest of the child's group, at most so long: a shell dies of a signal, what it started saves."""
        deadline = time.monotonic() + seconds
        while self._apart and self._members() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def signal(self, number: int) -> None:
        """To the whole group; a mere warning to those who expect it."""
        with suppress(ProcessLookupError, PermissionError):
            if number not in ENDS and number != signal.SIGKILL:
                for pid in self._members() if self._apart else [self.pid]:
                    if expects(pid, number):
                        os.kill(pid, number)
            elif self._apart:
                os.killpg(self.pid, number)
            elif number != signal.SIGINT:  # the terminal has sent that one
                os.kill(self.pid, number)

    def _members(self) -> list[int]:
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if os.getpgid(int(pid)) == self.pid and not _zombie(int(pid)):
                    found.append(int(pid))
        return found


def fetch(seconds: float | None) -> int | None:
    """The next signal to this process; None when there is none for so long."""
    if seconds is None:
        return signal.sigwaitinfo(_WATCHED).si_signo
    info = signal.sigtimedwait(_WATCHED, seconds)
    return None if info is None else info.si_signo


def expects(pid: int, number: int) -> bool:
    """Whether a process has a handler for this signal."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            mask = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return False
    return bool(int(mask, 16) >> (number - 1) & 1)


def _zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0] == b"Z"
