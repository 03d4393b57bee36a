"""A real process under test: started, waited for, killed by its own pid, and never left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

POLL_SECONDS = 0.02
Answer = TypeVar("Answer")


class Late(AssertionError):
    """What was waited for did not come in time."""


def until(
    ready: Callable[[], Answer | None],
    what: str,
    seconds: float = 30.0,
    why: Callable[[], str] | None = None,
    every: float = POLL_SECONDS,
) -> Answer:
    """The first answer of `ready` that is neither None nor False; asked `every` so many seconds. Raises Late, with
    what `why` tells.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = ready()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            raise Late(f"{what} did not happen within {seconds:.0f} s" + (f"\n{why()}" if why else ""))
        time.sleep(every)


class Process:
    """One command line; may be started again after its end. What it prints goes to `log`, all lives appended."""

    def __init__(
        self, name: str, argv: Sequence[str], environ: Mapping[str, str], log: str, cwd: str, ready: str = ""
    ) -> None:
        self.name, self.log, self.cwd = name, log, cwd
        self.argv, self.environ = list(argv), dict(environ)
        self.starts = 0
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0

    def launch(self) -> Process:
        """Start it, and do not wait."""
        assert not self.alive, f"{self.name} runs already"
        with open(self.log, "ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(
                [*_die_with_parent(), *self.argv],
                env=self.environ,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.starts += 1
        return self

    def start(self, seconds: float = 30.0) -> Process:
        """Start it, and wait for the line that says it is ready."""
        self.launch()
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds: float = 30.0) -> str:
        """The line of this life that says it is ready."""

        def found() -> str | None:
            alive = self.alive
            for line in self.lines():
                if line.startswith(self._ready):
                    return line
            assert alive, f"{self.name} ended with {self.code} before it was ready\n{self.words()}"
            return None

        return until(found, f"{self.name} ready", seconds, self.words)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.alive and self._process:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, whatever it is doing; it is gone, and reaped, when this returns."""
        self.signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP; it stands still when this returns."""
        self.signal(signal.SIGSTOP)
        until(lambda: _state(self.pid) in {"T", "t"}, f"{self.name} stopped", 5)

    def wait(self, seconds: float = 30.0) -> int:
        """Its exit code."""
        until(lambda: not self.alive, f"the end of {self.name}", seconds, self.words)
        assert self.code is not None
        return self.code

    def stop(self, seconds: float = 20.0) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def lines(self) -> list[str]:
        """What this life printed so far, whole lines."""
        try:
            with open(self.log, "rb") as file:
                file.seek(self._began)
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        return text[: text.rfind("\n") + 1].splitlines()

    def traceback(self) -> str:
        """Of a service, the end of what it printed when it fell by itself, in any of its lives; else empty."""
        if not self._ready or not self.starts:
            return ""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        at = text.find("Traceback (most recent call last)")
        return f"{self.name} fell:\n{text[at : at + 6000]}" if at >= 0 else ""

    def words(self) -> str:
        """Its last words, for a failure's text."""
        last = "".join(f"\n    {line}" for line in self.lines()[-25:]) or "\n    (nothing)"
        return f"{self.name} (code {self.code}) said:{last}"

    def rss(self) -> int:
        """Its resident memory in bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _die_with_parent() -> list[str]:
    """So that not even a SIGKILL of the tests leaves anything running."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0].decode()
