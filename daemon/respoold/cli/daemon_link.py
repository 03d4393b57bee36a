"""The daemon's socket, from the outside: say hello, ask a question, hang up. Blocking, standard library only.

Somebody else's socket is not a daemon of ours: the folder must belong to root or to us and the peer must run
as root, as us, or as the folder's owner. Only a socket named by hand (RESPOOL_SOCKET) is taken as it is.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from respool.wire.connection import Connection, Role
from respool.wire.errors import WireError
from respool.wire.file_messages import Checkpoints, CheckpointsAsked, Restore, Restored, RestorePart
from respool.wire.limits import MAX_FDS
from respool.wire.messages import (
    VERSIONS,
    Foretold,
    Hello,
    Judged,
    Left,
    Refused,
    Spooled,
    SpoolRequest,
    Status,
    StatusRequest,
    Welcome,
)
from respoold import __version__
from respoold.cli.errors import CommandError, Exit
from respoold.cli.places import Places

ANSWER_SECONDS = 5.0
LISTING_SECONDS = 30.0
"""It may ask the hub first."""
_UCRED = struct.Struct("iII")


class NoDaemonError(Exception):
    """No daemon answers; `tried` says for each socket why."""

    def __init__(self, tried: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {why}" for path, why in tried) or "no socket is known")
        self.tried = tried


class DaemonLink:
    """One conversation with a daemon; `welcome` is how it introduced itself."""

    def __init__(self, channel: socket.socket, path: str, seconds: float = ANSWER_SECONDS) -> None:
        self.path = path
        self._channel = channel
        self._wire = Connection(Role.CLIENT)
        self._fds: list[int] = []
        channel.sendall(self._wire.send(Hello(list(VERSIONS), f"respool {__version__}")))
        answer = self._next(seconds)
        if isinstance(answer, Refused):
            raise CommandError(
                Exit.UNREACHABLE, f"The daemon at {path} refused: {answer.cause}", answer.advice
            )
        if not isinstance(answer, Welcome):
            raise WireError(f"the daemon answered a hello with {type(answer).__name__}")
        self.welcome = answer

    def status(self) -> dict[str, Any]:
        """What the daemon keeps, for whom, and why it is still there (`respool status --json`)."""
        self._channel.sendall(self._wire.send(StatusRequest(), request=1))
        while True:
            answer = self._next()
            if isinstance(answer, Status):
                return answer.status
            if isinstance(answer, Refused):
                cause = f"The daemon at {self.path} refused: {answer.cause}"
                raise CommandError(Exit.UNREACHABLE, cause, answer.advice)

    def spool(self, asked: SpoolRequest) -> list[dict[str, Any]]:
        """What lies in its spool, or lay there until it was purged."""
        self._channel.sendall(self._wire.send(asked, request=2))
        while True:
            answer = self._next()
            if isinstance(answer, Spooled):
                return answer.attempts
            if isinstance(answer, Refused):
                cause = f"The daemon at {self.path} refused: {answer.cause}"
                raise CommandError(Exit.UNREACHABLE, cause, answer.advice or "It may be an older release.")

    def judged(self, said: Foretold | Left, seconds: float = ANSWER_SECONDS) -> dict[str, str]:
        """Speak for the processes that this one started; the state of each of their runs. After a TimeoutError this
        conversation is no good any more.
        """
        self._channel.sendall(self._wire.send(said, request=3))
        while True:
            answer = self._next(seconds)
            if isinstance(answer, Judged):
                return answer.states
            if isinstance(answer, Refused):
                raise WireError(answer.cause)

    def checkpoints(self, run: str) -> list[dict[str, Any]]:
        """The checkpoints of [ENTITY/]PROJECT/RUN_ID, of this node and its hub; none where it cannot say."""
        self._channel.sendall(self._wire.send(CheckpointsAsked(run), request=4))
        answer = self._next(LISTING_SECONDS)
        return answer.checkpoints if isinstance(answer, Checkpoints) else []

    def part(self, asked: RestorePart) -> int:
        """A descriptor of a part that lies in the daemon's spool; the caller closes it."""
        self._channel.sendall(self._wire.send(asked, request=5))
        answer = self._next(LISTING_SECONDS)
        if isinstance(answer, Restored) and answer.error is None and self._fds:
            return self._fds.pop()
        said = answer.error if isinstance(answer, Restored) else "it did not understand"
        cause = f"The daemon at {self.path} does not give {asked.name}: {said}."
        raise CommandError(Exit.BAD, cause, "`respool checkpoints RUN` shows what there is and where.")

    def file(self, name: str, run: str) -> tuple[Restored, int] | None:
        """The newest version of a file of [ENTITY/]PROJECT/RUN_ID and its descriptor, which the caller closes; None
        where it gives none.
        """
        self._channel.sendall(self._wire.send(Restore(name, run), request=6))
        answer = self._next(LISTING_SECONDS)
        if isinstance(answer, Restored) and answer.error is None and self._fds:
            return answer, self._fds.pop()
        return None

    def _next(self, seconds: float = ANSWER_SECONDS) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            for received in self._wire.events():
                self._fds += received.fds
                return received.message
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            data, fds, _, _ = socket.recv_fds(self._channel, 1 << 16, MAX_FDS)
            if not data:
                raise WireError("the daemon hung up without an answer")
            self._wire.receive_data(data, fds)


@contextmanager
def open_daemon(places: Places, seconds: float = ANSWER_SECONDS) -> Iterator[DaemonLink]:
    """The first daemon that answers, each within `seconds`. Raises NoDaemonError."""
    tried: list[tuple[str, str]] = []
    for path in places.sockets:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as channel:
            try:
                link = _connect(channel, path, places, seconds)
            except (OSError, WireError) as error:
                tried.append((path, _why(error)))
                continue
            yield link
            return
    raise NoDaemonError(tried)


def _connect(channel: socket.socket, path: str, places: Places, seconds: float) -> DaemonLink:
    by_hand = path == places.environ.get("RESPOOL_SOCKET")
    owner = os.stat(os.path.dirname(path) or ".").st_uid
    if not by_hand and path != places.system_socket and owner not in {0, places.uid}:
        raise PermissionError(0, f"its folder belongs to uid {owner}")
    channel.settimeout(seconds)
    channel.connect(path)
    peer = _UCRED.unpack(channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[1]
    if not by_hand and peer not in {0, places.uid, owner}:
        raise PermissionError(0, f"uid {peer} listens there")
    return DaemonLink(channel, path, seconds)


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such socket"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there any more"
    if isinstance(error, TimeoutError):
        return f"it accepts, but did not answer within {ANSWER_SECONDS:.0f} s"
    return getattr(error, "strerror", None) or str(error)
