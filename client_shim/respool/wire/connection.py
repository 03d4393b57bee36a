r"""The protocol without I/O: bytes in, messages out, one class for both ends.

    IDLE --Hello--> GREETED --Welcome--> OPEN --(EOF or error)--> CLOSED
                           \--Refused--> CLOSED

A client sends Hello and waits; a server answers Welcome or Refused. Nothing else may be sent before OPEN.
In OPEN both sides send what they like; a reply carries the `request` number of what it answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from respool.wire.errors import FormatError, LocalProtocolError, RemoteProtocolError
from respool.wire.frames import HEADER, HEADER_SIZE, MAGIC, Stop, encode, walk
from respool.wire.limits import MAX_FDS, MAX_MESSAGE
from respool.wire.messages import VERSIONS, Hello, Message, Refused, Welcome, decode_message, encode_message


class Role(Enum):
    CLIENT = "client"
    SERVER = "server"


class State(Enum):
    IDLE = "idle"
    GREETED = "greeted"
    OPEN = "open"
    CLOSED = "closed"


class Received(NamedTuple):
    """A message, the request it belongs to (0: none), and the descriptors that came with it."""

    message: Message
    request: int
    fds: list[int]


_HANDSHAKE: dict[tuple[State, type], State] = {
    (State.IDLE, Hello): State.GREETED,
    (State.GREETED, Welcome): State.OPEN,
    (State.GREETED, Refused): State.CLOSED,
}


class Connection:
    """One end of a connection. `receive_data` takes what the socket gave, `events` hands out what it meant,
    `send` returns the bytes to write. After any WireError the connection is over: close the socket.
    """

    def __init__(self, role: Role) -> None:
        self.role = role
        self.state = State.IDLE
        self._buffer = bytearray()
        self._ended = False
        self._fds: list[int] = []
        self._unclaimed: list[int] = []

    def receive_data(self, data: bytes, fds: list[int] | None = None) -> None:
        """Take bytes, and the descriptors that arrived with them. `b""` is the peer's end."""
        self._fds += fds or []
        if len(self._fds) > 2 * MAX_FDS:
            raise RemoteProtocolError(f"peer sent {len(self._fds)} descriptors without a message")
        if not data:
            self._ended = True
            self.state = self.state if self._buffer else State.CLOSED
            return
        self._buffer += data
        if len(self._buffer) > 2 * MAX_MESSAGE:
            raise RemoteProtocolError(f"peer sent {len(self._buffer)} bytes without a whole message")

    def events(self) -> Iterator[Received]:
        """The messages that are complete, in order. Raises RemoteProtocolError at the first bad byte."""
        while self.state is not State.CLOSED or self._buffer:
            found = walk(self._buffer, 0, 1, MAX_MESSAGE)
            if not found.frames:
                if found.stop is Stop.BAD or self._impossible():
                    raise RemoteProtocolError("peer sent bytes that are no frame")
                self.state = State.CLOSED if self._ended else self.state
                return
            frame = found.frames[0]
            del self._buffer[: found.end]
            try:
                message = decode_message(frame.kind, frame.payload)
            except FormatError as error:
                raise RemoteProtocolError(str(error)) from error
            fds = self._take_fds(frame.span - 1)
            if message is not None:
                self._step(message, theirs=True)
                yield Received(message, frame.seq, fds)
            else:
                self._unclaimed += fds

    def send(self, message: Message, *, request: int = 0, fds: int = 0) -> bytes:
        """The bytes of a message with which `fds` descriptors travel."""
        self._step(message, theirs=False)
        number, payload = encode_message(message)
        if len(payload) > MAX_MESSAGE:
            raise LocalProtocolError(
                f"{type(message).__name__} of {len(payload)} bytes: at most {MAX_MESSAGE}"
            )
        return encode(number, payload, seq=request, span=1 + fds)

    def surrender_fds(self) -> list[int]:
        """Descriptors that no message claimed; the caller closes them."""
        left, self._fds, self._unclaimed = self._unclaimed + self._fds, [], []
        return left

    def _step(self, message: Message, *, theirs: bool) -> None:
        error = RemoteProtocolError if theirs else LocalProtocolError
        after = _HANDSHAKE.get((self.state, type(message)))
        if after is not None:
            self.state = after
        elif self.state is not State.OPEN:
            raise error(f"{type(message).__name__} while the connection is {self.state.value}")

    def _take_fds(self, count: int) -> list[int]:
        if count > MAX_FDS or count > len(self._fds):
            raise RemoteProtocolError(f"a message claims {count} descriptors, {len(self._fds)} arrived")
        taken, self._fds = self._fds[:count], self._fds[count:]
        return taken

    def _impossible(self) -> bool:
        if len(self._buffer) < HEADER_SIZE:
            return False
        header = HEADER.unpack_from(self._buffer)
        return bool(header[0] > MAX_MESSAGE or header[6] != MAGIC)


def choose_version(offered: list[int]) -> int | None:
    """The best version that both sides speak, or None."""
    return next((version for version in VERSIONS if version in offered), None)
