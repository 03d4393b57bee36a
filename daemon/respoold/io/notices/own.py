"""What a user, or a site, has of its own: a file that appears, a command that says so."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

import trio

from respoold.core.notice import Event, Foreseen, Withdrawn
from respoold.io.notices.metadata import Tell

FILE, COMMAND = "file", "command"
PERIOD = 2.0
ANSWER_SECONDS = 30.0
MAX_TEXT = 64
MAX_OUTPUT = 1 << 20
_NO_TEXT = frozenset({errno.ENXIO, errno.ENODEV})
"""Of a socket, or another thing that has no beginning."""
EARLIEST, LATEST = 1e9, 1e11
"""A deadline before 2001 is none, it was meant in seconds from now; nor one after the year 5000, in milliseconds."""


class File:
    """A notice stands while `path` exists. Its first line may be the deadline, in seconds since the epoch. Where nobody
    can say whether it exists, as on a share that fails, what was known stands; `complain` hears why, and "" when it
    can be said again.
    """

    def __init__(
        self, path: str, period: float = PERIOD, complain: Callable[[str], None] = lambda _: None
    ) -> None:
        self._path = path
        self._period = period
        self._complain = complain
        self._known: Event | None = None

    async def watch(self, tell: Tell) -> NoReturn:
        while True:
            await self._look()
            if self._known is not None:
                # Also when nobody can look: a notice that is not repeated expires.
                tell(self._known)
            await trio.sleep(self._period)

    async def _look(self) -> None:
        try:
            # In a thread: a share that hangs hangs who looks at it.
            text = await trio.to_thread.run_sync(_beginning, self._path, abandon_on_cancel=True)
        except OSError as error:
            stands = "its notice stands" if isinstance(self._known, Foreseen) else "no notice comes from it"
            self._complain(f"notice_file {self._path!r} cannot be looked at: {error.strerror}; {stands}")
        else:
            self._known = Withdrawn(FILE) if text is None else Foreseen(FILE, deadline_in(text))
            self._complain("")


class Command:
    """A notice stands while `argv` exits 0. Its first line of output may be the deadline, as in a file. A command
    that takes longer than 30 s, or says more than a megabyte, is ended with all that it started, and has said
    nothing. `complain` hears why it says nothing, and "" when it does.
    """

    def __init__(
        self, argv: Sequence[str], period: float = PERIOD, complain: Callable[[str], None] = lambda _: None
    ) -> None:
        self._argv = list(argv)
        self._period = period
        self._complain = complain

    async def watch(self, tell: Tell) -> NoReturn:
        while True:
            why = await self._ask(tell)
            self._complain(f"notice_command {self._argv[0]!r} {why}; no notice comes from it" if why else "")
            await trio.sleep(self._period)

    async def _ask(self, tell: Tell) -> str:
        """Run it once. Why it has said nothing, or ""."""
        try:
            process = await trio.lowlevel.open_process(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be run: {error.strerror}"
        assert process.stdout is not None
        async with process.stdout:
            try:
                with trio.move_on_after(ANSWER_SECONDS):
                    said = await _first(process.stdout)
                    if said is None:
                        return f"said more than {MAX_OUTPUT >> 20} MiB"
                    await process.wait()
                    tell(Withdrawn(COMMAND) if process.returncode else Foreseen(COMMAND, deadline_in(said)))
                    return ""
                return f"took longer than {ANSWER_SECONDS:.0f} s"
            finally:
                if process.returncode is None:
                    await _end(process)


async def _first(stream: trio.abc.ReceiveStream) -> str | None:
    """The beginning of what comes until its end; None when that is too far away."""
    kept, count = b"", 0
    while data := await stream.receive_some(1 << 16):
        kept, count = (kept + data)[:MAX_TEXT], count + len(data)
        if count > MAX_OUTPUT:
            return None
    return kept.decode("ascii", "replace")


async def _end(process: trio.Process) -> None:
    """Nothing that it started stays, in whatever state it left them."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with trio.CancelScope(shield=True):
        await process.wait()


def deadline_in(text: str) -> float:
    """Seconds since the epoch on the first line; 0, which is unknown, for anything else."""
    first = text.strip().partition("\n")[0].strip()
    at = float(first) if first.replace(".", "", 1).isdecimal() and first.isascii() else 0.0
    return at if EARLIEST < at < LATEST else 0.0


def _beginning(path: str) -> str | None:
    """What it begins with, "" where that is not to be read (a folder can be a notice, too); None where nothing is.
    Raises OSError where that cannot be said.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError:
        os.lstat(path)  # it is there, unless its folder is what may not be looked at
        return ""
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno in _NO_TEXT:
            return ""
        raise
    try:
        return os.read(fd, MAX_TEXT).decode("ascii", "replace")
    except (IsADirectoryError, BlockingIOError):
        return ""
    finally:
        os.close(fd)
