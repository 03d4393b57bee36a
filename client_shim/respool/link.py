"""One connection to the daemon: `respool.wire`'s Connection over a Unix socket.

A Link never waits unless asked to (`wait`, `ask`, each with a deadline), owns its socket, and is over after
the first error: `alive` is False then, and so it stays. Messages that nobody waits for go to `on_message`,
which takes over the descriptors that came with them. Not for two threads at once: see `respool.tether`.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any

from respool.wire.connection import Connection, Received, Role, State
from respool.wire.errors import WireError
from respool.wire.limits import MAX_FDS
from respool.wire.messages import VERSIONS, Hello, Refused, Waiting, Welcome

_CREDENTIALS = struct.Struct("3i")
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_CHUNK = 1 << 16
_MAX_UNSENT = 1 << 20


class LinkError(Exception):
    """Nobody answers at that socket, or not in time, or somebody we must not trust."""


def candidates(environ: dict[str, str]) -> list[str]:
    """The sockets to try, in order: $RESPOOL_SOCKET alone, or the system's and the user's usual place; the
    latter is beside the user's spool where there is no runtime folder, as in a plain ssh session.
    """
    named = environ.get("RESPOOL_SOCKET", "").strip()
    if named:
        return [named]
    places = ["/run/respool/respoold.sock"]
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if not runtime.startswith("/"):
        state = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        runtime = os.path.join(state, "respool", os.uname().nodename, "run")
    places.append(os.path.join(runtime, "respool", "respoold.sock"))
    return places


class Link:
    """A connection to the daemon at `path`, made without waiting. Raises LinkError when nobody listens there,
    or when who listens is neither root, nor this user, nor the owner of the socket's folder.
    """

    def __init__(self, path: str, client: str, on_message: Callable[[Received], None]) -> None:
        self.path = path
        self.alive = True
        self.welcome: Welcome | None = None
        self.refused: Refused | None = None
        self.on_message = on_message
        self.on_welcome: Callable[[], None] | None = None
        self._connection = Connection(Role.CLIENT)
        self._unsent = bytearray()
        self._requests = 0
        self._socket, self.peer_uid = _connect(path)
        self.send(Hello(list(VERSIONS), client))

    @property
    def open(self) -> bool:
        """Whether the daemon said Welcome and nothing has gone wrong since."""
        return self.alive and self._connection.state is State.OPEN

    @property
    def idle(self) -> bool:
        """Whether everything sent has left this process."""
        return not self._unsent

    def send(self, message: Any, request: int = 0) -> None:
        """Send a message as far as the socket takes it now; the rest goes with later calls."""
        if not self.alive:
            return
        try:
            self._unsent += self._connection.send(message, request=request)
        except WireError:
            self.close()
            raise
        if len(self._unsent) > _MAX_UNSENT:
            self.close()
        self._push()

    def pump(self) -> None:
        """Send and receive what goes without waiting; hand out what came."""
        self._push()
        self._take(self.on_message)

    def wait(self, ready: Callable[[], bool], deadline: float) -> bool:
        """Pump until `ready()`, the end of the link, or `deadline` (monotonic). Says whether it became ready."""
        while True:
            self.pump()
            if ready() or not self.alive:
                return ready()
            if not self._poll(deadline):
                return False

    def pass_on(self, message: Any, fds: list[int], deadline: float, request: int = 0) -> None:
        """Send a message with descriptors, which stay the caller's to close. Raises LinkError when the socket does
        not take them in time.
        """
        data = self._connection.send(message, request=request, fds=len(fds))
        while self.wait(lambda: self.idle, deadline):
            try:
                sent = socket.send_fds(self._socket, [data], fds)
            except (BlockingIOError, InterruptedError):
                self._await_room(deadline)
                continue
            except OSError:
                break
            self._unsent += data[sent:]
            return
        self.close()
        raise LinkError(f"the daemon at {self.path} does not take descriptors")

    def ask(
        self,
        message: Any,
        deadline: float,
        waiting: Callable[[Waiting], None] | None = None,
        fds: list[int] | None = None,
    ) -> Received:
        """Send a request, with `fds` if any, and wait for its answer. A Waiting moves the deadline by what it says.
        Raises LinkError when there is none in time.
        """
        self._requests += 1
        request, answers = self._requests, list[Received]()

        def sort(received: Received) -> None:
            if received.request == request:
                answers.append(received)
            else:
                self.on_message(received)

        if fds:
            self.pass_on(message, fds, deadline, request)
        else:
            self.send(message, request)
        while True:
            self._push()
            self._take(sort)
            while answers and isinstance(answers[0].message, Waiting):
                note = answers.pop(0).message
                deadline = max(deadline, monotonic() + note.seconds + 5.0)
                if waiting is not None:
                    waiting(note)
            if answers:
                return answers[0]
            if not self.alive or not self._poll(deadline):
                raise LinkError(f"the daemon at {self.path} gave no answer to {type(message).__name__}")

    def close(self) -> None:
        """Close the socket, and the descriptors that nobody claimed."""
        if self.alive:
            self.alive = False
            self._socket.close()
            close_all(self._connection.surrender_fds())

    def fileno(self) -> int:
        """The socket's descriptor, -1 when closed."""
        return self._socket.fileno()

    def _push(self) -> None:
        while self.alive and self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close()
                return
            del self._unsent[:sent]

    def _take(self, handle: Callable[[Received], None]) -> None:
        while self.alive:
            try:
                data, fds, _, _ = socket.recv_fds(self._socket, _CHUNK, MAX_FDS, _CLOEXEC)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data, fds = b"", []
            try:
                self._connection.receive_data(data, fds)
                for received in self._connection.events():
                    self._dispatch(received, handle)
            except WireError:
                data = b""
            if not data:
                self.close()

    def _dispatch(self, received: Received, handle: Callable[[Received], None]) -> None:
        if isinstance(received.message, Welcome):
            self.welcome = received.message
            if self.on_welcome is not None:
                self.on_welcome()
        elif isinstance(received.message, Refused) and self.welcome is None:
            self.refused = received.message
        else:
            handle(received)

    def _await_room(self, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        poll.poll(max(0.0, deadline - monotonic()) * 1000)

    def _poll(self, deadline: float) -> bool:
        left = deadline - monotonic()
        if left <= 0:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        poll.poll(left * 1000)
        return True


def close_all(fds: list[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


def _connect(path: str) -> tuple[socket.socket, int]:
    """The socket, and the uid of who listens: -1 where the system does not tell."""
    try:
        folder_owner = os.stat(os.path.dirname(path) or ".").st_uid
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise LinkError(f"no daemon at {path}: {error}") from error
    try:
        made.setblocking(False)
        made.connect(path)
        uid = _check_peer(made, path, folder_owner)
    except OSError as error:
        made.close()
        raise LinkError(f"no daemon at {path}: {error.strerror or error}") from error
    except LinkError:
        made.close()
        raise
    return made, uid


def _check_peer(made: socket.socket, path: str, folder_owner: int) -> int:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return -1
    uid: int
    _, uid, _ = _CREDENTIALS.unpack(made.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    if uid not in {0, os.getuid(), folder_owner}:
        raise LinkError(f"who listens at {path} has uid {uid}: neither root, nor you, nor the folder's owner")
    return uid
