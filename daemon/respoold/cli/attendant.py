"""The daemon that a job talks to: the one that is there, or one of its own for as long as it runs."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from respool.autostart import hub_known, not_installed
from respool.receipt import waiting
from respool.wire.errors import WireError
from respool.wire.messages import Foretold, Left
from respoold.cli.children import Child, respool_argv
from respoold.cli.daemon_link import ANSWER_SECONDS, DaemonLink, NoDaemonError, open_daemon
from respoold.cli.errors import CommandError
from respoold.cli.household import DAEMON_READY, READY_SECONDS
from respoold.cli.job import fetch
from respoold.cli.places import Places
from respoold.cli.screen import Screen

RETURN_SECONDS = 10.0
HURRY_SECONDS = 1.0
SAID_SECONDS = 2.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.2
_NAMED = 3


class Attendant:
    """Speaks to the daemon over one connection, `link` or one that is opened when first needed, and again when it
    broke. `socket`: that of a daemon of our own, empty where another one answers, or none.
    """

    def __init__(
        self,
        places: Places,
        screen: Screen,
        stack: ExitStack,
        link: DaemonLink | None = None,
        socket: str = "",
    ) -> None:
        self.socket = socket
        self._places = places
        self._screen = screen
        self._stack = stack
        self._hurried = self._said = False
        self._link = link
        self._met = link is not None or bool(socket)
        self._untold: list[Foretold | Left] = []

    def judged(self, said: Foretold | Left) -> dict[str, str]:
        """What the daemon answers; nothing where there is none. What it could not be told it is told with the next,
        and at the end of a job one that was there is waited for: it may have been killed, and be back soon.
        """
        left = isinstance(said, Left)
        # A daemon that was not there then learns first whose end it is: processes that are gone have no parents.
        self._untold = [said, *self._untold] if left else [*self._untold, said]
        patience = RETURN_SECONDS if left and self._met else 0.0
        deadline = time.monotonic() + patience
        while (answer := self._tell_all()) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return answer or {}

    def _tell_all(self) -> dict[str, str] | None:
        """The answer to the last of them; None while there is one that nobody has heard."""
        answer = None
        while self._untold:
            answer = self._told(self._untold[0])
            if answer is None:
                break
            self._met = True
            del self._untold[0]
        return answer

    def _told(self, said: Foretold | Left) -> dict[str, str] | None:
        """Its answer. The job waits for its signal while the daemon is told of that: not for one that hangs."""
        seconds = HURRY_SECONDS if isinstance(said, Foretold) else ANSWER_SECONDS
        for _ in range(2):
            try:
                if self._link is None:
                    self._link = self._stack.enter_context(open_daemon(self._places, seconds))
                return self._link.judged(said, seconds)
            except (NoDaemonError, CommandError):
                return None
            except TimeoutError:
                self._link = None
                return None
            except (OSError, WireError):
                self._link = None
        return None

    def drained(self, seconds: float) -> None:
        """Until the daemon holds nothing that the hub has not, at most so long. Ctrl-C ends all such waits: what is
        left stays in the spool. A second SIGTERM of a scheduler does not.
        """
        begun = time.monotonic()
        while not self._hurried and time.monotonic() < begun + seconds:
            try:
                with open_daemon(self._places) as link:
                    if not link.status()["runs"]:
                        return
            except (NoDaemonError, CommandError, OSError, WireError):
                return
            if not self._said and time.monotonic() >= begun + SAID_SECONDS:
                self._said = True
                bound = f"for at most {seconds:.0f} s; Ctrl-C leaves it in the spool"
                self._screen.note(f"respool: sending what waits for the hub, {bound}.")
            if fetch(_POLL_SECONDS) == signal.SIGINT:
                self.hurry()
        self.hurry()

    def hurry(self) -> None:
        """No further wait for the hub; one line says what it does not have yet. That stays in the spool."""
        if self._hurried:
            return
        self._hurried = True
        try:
            with open_daemon(self._places) as link:
                runs = link.status()["runs"]
        except (NoDaemonError, CommandError, OSError, WireError):
            self._screen.note("respool: no daemon says what is not sent yet; it stays in the spool.")
            return
        self._screen.note(f"respool: {_unsent(runs, _spool(self._places) if self.socket else '')}.")


def _unsent(runs: list[dict[str, Any]], spool: str) -> str:
    """What waits for the hub, and who sends it: nobody by itself, where `spool` is left without a daemon."""
    laden = [f"{run.get('project')}/{run.get('run_id')} {what}" for run in runs if (what := waiting(run))]
    if not laden:
        return "everything is sent"
    more = f" and {len(laden) - _NAMED} more runs" if len(laden) > _NAMED else ""
    who = f"`respool sync {spool}` sends it" if spool else "the daemon goes on"
    return f"not sent yet: {'; '.join(laden[:_NAMED])}{more}; it stays in the spool, {who}"


@contextmanager
def attending(places: Places, screen: Screen, drain: float) -> Iterator[Attendant]:
    """One who speaks to the daemon. A daemon of our own ends with the block, having sent what it can in `drain` s."""
    with ExitStack() as stack:
        try:
            with open_daemon(places) as link:
                yield Attendant(places, screen, stack, link)
                return
        except NoDaemonError:
            why = None if hub_known(places.environ) else "no hub is known; `respool login URL` names one"
            why = why or not_installed()
        if why is not None:
            screen.note(f"respool run: no daemon answers and none is started: {why}.")
            yield Attendant(places, screen, stack)
            return
        with _own_daemon(places, screen) as socket:
            environ = {**places.environ, "RESPOOL_SOCKET": socket} if socket else places.environ
            mine = Attendant(places._replace(environ=environ), screen, stack, socket=socket)
            yield mine
            if socket:
                mine.drained(drain)


@contextmanager
def _own_daemon(places: Places, screen: Screen) -> Iterator[str]:
    """Its socket; empty when it would not start."""
    folder = tempfile.mkdtemp(prefix="respool-")
    path = os.path.join(folder, "respoold.sock")
    spool = _spool(places)
    words = respool_argv("daemon", "--socket", path, "--spool", spool)
    daemon = Child("daemon", words, _environment(places.environ), os.path.join(folder, "log"), folder)
    try:
        daemon.start()
        try:
            daemon.wait_line(DAEMON_READY, READY_SECONDS)
        except CommandError as error:
            screen.note(f"respool run: {error.cause} {error.advice}")
            path = ""
        yield path
    finally:
        daemon.stop(STOP_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def _spool(places: Places) -> str:
    return places.environ.get("RESPOOL_SPOOL_DIR") or places.spool


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The trainer need not wait for the hub at its end: we do, when it is gone."""
    return {**environ, "RESPOOL_LASTING": "1", "PYTHONUNBUFFERED": "1"}
