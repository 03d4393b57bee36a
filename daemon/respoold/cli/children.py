"""Processes that a command starts and never leaves behind: they die when it dies, by the kernel's hand.

Each has its own session, so that Ctrl-C reaches the command alone, which decides the order of the end. What a
child prints goes to its log file, whose last lines explain why it failed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from respoold.cli.errors import CommandError, Exit

POLL_SECONDS = 0.02
MAX_LOG = 8 << 20
"""Bytes of a log, after which the next start begins a new one and keeps one old one."""

_PR_SET_PDEATHSIG = 1


class Child:
    """One process. `started` is the time.monotonic() of its last start; `wanted` is False once it was stopped."""

    def __init__(
        self, name: str, argv: Sequence[str], environ: Mapping[str, str], log: str, cwd: str
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.environ = dict(environ)
        self.log = log
        self.cwd = cwd
        self.started = 0.0
        self.wanted = False
        self._began = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again. Its log is continued; a long one is put aside first."""
        with suppress(FileNotFoundError):
            if os.path.getsize(self.log) > MAX_LOG:
                os.replace(self.log, f"{self.log}.1")
        with open(self.log, "ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
                self.argv,
                env=self.environ,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - one system call; the commands have no threads yet
            )
        self.started = time.monotonic()
        self.wanted = True

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it lives."""
        return self._process.poll() if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.alive and self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""
        self.wanted = False
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL if that did not help within `grace` seconds; it is gone when this returns."""
        self.wanted = False
        self.signal(signal.SIGTERM)
        try:
            if self._process:
                self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_line(self, beginning: str, seconds: float) -> str:
        """The first line of its log that begins so. Raises CommandError with its last words if none comes."""
        deadline = time.monotonic() + seconds
        while True:
            alive = self.alive
            for line in self.lines():
                if line.startswith(beginning):
                    return line
            if not alive or time.monotonic() > deadline:
                raise self.failure(f"was not ready within {seconds:.0f} s" if alive else self.end())
            time.sleep(POLL_SECONDS)

    def lines(self) -> list[str]:
        """What it printed since its last start, whole lines."""
        try:
            with open(self.log, "rb") as file:
                file.seek(self._began)
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        return text[: text.rfind("\n") + 1].splitlines()

    def end(self) -> str:
        """How it ended, in words: `ended with exit code 1`, `was killed by SIGKILL`."""
        code = self.code
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def failure(self, what: str) -> CommandError:
        """It went wrong: what, and its last lines."""
        last = "".join(f"\n    {line}" for line in self.lines()[-8:]) or "\n    (nothing)"
        advice = f"Its last words, in {self.log}:{last}"
        return CommandError(Exit.UNREACHABLE, f"The {self.name} {what}.", advice)


def respool_argv(*words: str) -> list[str]:
    """The command line that runs this same respool in another process."""
    return [sys.executable, "-m", "respool", *words]


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a child does before exec so that the kernel kills it when its parent dies. Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return bind
