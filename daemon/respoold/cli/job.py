"""A job as a child: started, signalled, waited for. Signals to us are blocked and fetched, never handled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

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
    """The child is in a process group of its own, so that a signal to our group does not reach it twice; at a terminal
    it stays in ours, where Ctrl-C reaches it anyhow. timeout(1), setsid(1) and a shell's job control make further
    groups below it: they are signalled and waited for, too. Raises OSError where `argv` cannot be run.
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

        self._groups = {self._process.pid}

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
        """Wait for the rest of the child's groups, at most so long: a shell dies of a signal, what it started saves."""
        deadline = time.monotonic() + seconds
        while self._apart and self._members() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def signal(self, number: int) -> None:
        """To all groups; a mere warning to those who expect it."""
        if self._apart:
            # Before anybody dies of it: then nobody knows any more whose child a process was.
            self._groups |= _groups_below(self.pid) - {os.getpgrp()}
        if number not in ENDS and number != signal.SIGKILL:
            for pid in self._members() if self._apart else [self.pid]:
                if expects(pid, number):
                    _send(os.kill, pid, number)
        elif self._apart:
            for group in sorted(self._groups):
                _send(os.killpg, group, number)
        elif number != signal.SIGINT:  # the terminal has sent that one
            _send(os.kill, self.pid, number)

    def _members(self) -> list[int]:
        return [one.pid for one in _processes() if one.group in self._groups and not one.zombie]


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


def _send(kill: Callable[[int, int], None], whom: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        kill(whom, number)


class _Process(NamedTuple):
    pid: int
    parent: int
    group: int
    zombie: bool


def _groups_below(pid: int) -> set[int]:
    """The process groups of a process's descendants."""
    everybody, below = _processes(), {pid}
    while more := {one.pid for one in everybody if one.parent in below} - below:
        below |= more
    return {one.group for one in everybody if one.pid in below}


def _processes() -> list[_Process]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
            # The name may hold anything, blanks and brackets too: count from its end.
            state, parent, group = file.read().rpartition(b")")[2].split()[:3]
            found.append(_Process(int(pid), int(parent), int(group), state == b"Z"))
    return found
