"""Handing to a system daemon what this user's processes kept without one: it cannot read homes, so it is passed
the open files (Adopt), and copies them. When the hub has all of a run, its folder here is removed if the run
finished; else it stays, marked, for it may be what the run is continued from.

Only attempts whose every process ran on this machine and is dead are handed over: nothing is added to them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any, Self

from respool import notices, spool_papers
from respool.last_words import ended_well
from respool.link import Link, LinkError, close_all
from respool.own_daemons import registered_spools
from respool.process import alive
from respool.wire.attempt import ATTEMPT_FILE, BLOBS, parse_request
from respool.wire.connection import Received
from respool.wire.limits import MAX_FDS
from respool.wire.messages import Adopt, Adopted, Refused
from respool.wire.segment import parse_segment_name

MARK = "handed-over"
IN_PASSING_SECONDS = 0.3
AT_ONCE = 8
ANSWER_SECONDS = 120.0
_POLL_SECONDS = 0.2
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class Refusal(Exception):
    """The daemon will not have an attempt; the text says why and what to do."""


def in_passing(path: str, client: str, environ: dict[str, str]) -> None:
    """Offer what lies here to the daemon at `path`, a little at a time, and look what became of earlier offers.
    Waits IN_PASSING_SECONDS at most; whatever goes wrong, another call tries again.
    """
    deadline = monotonic() + IN_PASSING_SECONDS
    try:
        with _Offers(path, client, deadline) as offers:
            for number, directory in enumerate(left_behind(environ)):
                if number >= AT_ONCE or monotonic() >= deadline:
                    break
                if offers.held(directory) == "unknown":
                    offers.hand_over(directory, wait=False)
    except (LinkError, Refusal, OSError):
        return


def completely(path: str, client: str, directories: list[str], seconds: float) -> list[str]:
    """Hand attempts over and wait until the hub has them, at most `seconds`. Those that it has not got by then.
    Raises LinkError when the daemon goes away, Refusal when it refuses one.
    """
    deadline = monotonic() + seconds
    with _Offers(path, client, deadline) as offers:
        for directory in directories:
            if offers.held(directory) == "unknown":
                offers.hand_over(directory, wait=True)
        left = directories
        while (left := [one for one in left if offers.held(one) != "complete"]) and monotonic() < deadline:
            sleep(_POLL_SECONDS)
    return left


def left_behind(environ: dict[str, str]) -> Iterator[str]:
    """The folders of attempts in registered spools that a daemon may take over."""
    for spool in registered_spools(environ):
        yield from ready_in(spool)


def ready_in(spool: str) -> Iterator[str]:
    """The folders in one spool of attempts of this user that are over and were not handed over yet."""
    for name in spool_papers.names(spool):
        directory = os.path.join(spool, name)
        if os.path.exists(os.path.join(directory, MARK)) or not _ours(directory):
            continue
        file = spool_papers.attempt_file(directory)
        if file is None:
            continue
        request = parse_request(file.request)
        writers = spool_papers.writers(directory, request)
        here = os.uname().nodename
        if all(one.node == here and not alive(one.process) for one in writers):
            yield directory


class _Offers:
    """A connection on which attempts are offered; closed with `with`."""

    def __init__(self, path: str, client: str, deadline: float) -> None:
        self._deadline = deadline
        self._link = Link(path, client, lambda received: close_all(received.fds))
        if not self._link.wait(lambda: self._link.open, deadline):
            self._link.close()
            raise LinkError(f"the daemon at {path} does not answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.wait(lambda: self._link.idle, self._deadline)
        self._link.close()

    def held(self, directory: str) -> str:
        """How the daemon stands to an attempt. One that is complete is settled here. Raises Refusal."""
        if not os.path.isdir(directory):
            return "complete"
        held = _held(self._link.ask(Adopt(_paper(directory)), self._deadline))
        if held == "complete":
            _settle(directory)
        return held

    def hand_over(self, directory: str, *, wait: bool) -> None:
        """Pass an attempt's files, some with each message. Raises Refusal, OSError, LinkError."""
        paper, names = _paper(directory), _files(directory)
        for at in range(0, max(len(names), 1), MAX_FDS):
            part, last = names[at : at + MAX_FDS], at + MAX_FDS >= len(names)
            fds: list[int] = []
            try:
                fds += (os.open(os.path.join(directory, name), _READ) for name in part)
                message = Adopt(paper, part, last)
                if wait:
                    _held(self._link.ask(message, monotonic() + ANSWER_SECONDS, fds=fds))
                else:
                    self._link.pass_on(message, fds, self._deadline)
            finally:
                close_all(fds)


def _held(received: Received) -> str:
    close_all(received.fds)
    match received.message:
        case Adopted() as adopted:
            return adopted.held
        case Refused() as refused:
            raise Refusal(notices.joined(refused.cause, refused.advice))
    raise Refusal(f"The daemon answered with {type(received.message).__name__}.")


def _settle(directory: str) -> None:
    """The hub has all of it."""
    if ended_well(directory):
        import shutil  # noqa: PLC0415 - nobody else needs it

        shutil.rmtree(directory, ignore_errors=True)
        return
    os.close(os.open(os.path.join(directory, MARK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _paper(directory: str) -> dict[str, Any]:
    with open(os.open(os.path.join(directory, ATTEMPT_FILE), _READ), encoding="utf-8") as file:
        paper: dict[str, Any] = json.load(file)
    return paper


def _files(directory: str) -> list[str]:
    names = list(spool_papers.names(directory))
    papers = [name for name in names if name[:1] == "w" and name.endswith(".json")]
    segments = [name for name in names if parse_segment_name(name) is not None]
    blobs = [f"{BLOBS}/{name}" for name in spool_papers.names(os.path.join(directory, BLOBS))]
    return [*papers, *segments, *blobs]


def _ours(directory: str) -> bool:
    try:
        return os.stat(directory).st_uid == os.getuid()
    except OSError:
        return False
