"""The Unix socket: listening, who is there, and messages with descriptors."""

from __future__ import annotations

import array
import os
import select
import socket
import stat
import struct
from contextlib import suppress
from typing import NamedTuple

import trio

from respool.wire.limits import MAX_FDS
from respoold.io.notify import inherited_listener

READ_SIZE = 64 << 10
BACKLOG = 1024


class Peer(NamedTuple):
    """Who connected, as the kernel says (SO_PEERCRED), in our own process namespace."""

    pid: int
    uid: int
    gid: int


class SocketBusyError(Exception):
    """Something answers at that path already."""


class SocketUnusableError(Exception):
    """No socket can be made at that path."""


def listen(path: str) -> trio.socket.SocketType:
    """The listening socket: systemd's, or one bound at `path` in a folder made 0700.

    A stale socket is replaced; a live one raises SocketBusyError, a place where none can be made
    SocketUnusableError. Peers of other users may connect where the
    folder lets them: who they are is asked of the kernel.
    """
    inherited = inherited_listener()
    if inherited is not None:
        # Not listened at again: that would make us, not root, the one whom clients see there (SO_PEERCRED).
        return trio.socket.from_stdlib_socket(socket.socket(fileno=inherited))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _clear(path)
        listener.bind(path)
        os.chmod(path, 0o666)  # noqa: S103 - its folder decides who comes near, SO_PEERCRED who it is
        listener.listen(BACKLOG)
    except SocketBusyError:
        listener.close()
        raise
    except OSError as error:
        listener.close()
        raise SocketUnusableError(
            f"the socket {path} cannot be made: {error}; choose another --socket"
        ) from error
    return trio.socket.from_stdlib_socket(listener)


def inherited_path() -> str | None:
    """Where systemd's socket is; None when there is none."""
    inherited = inherited_listener()
    if inherited is None:
        return None
    with socket.socket(fileno=os.dup(inherited)) as listener:
        return str(listener.getsockname())


def peer_of(connection: trio.socket.SocketType) -> Peer:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", raw))


def hung_up(connection: trio.socket.SocketType) -> bool:
    """Whether the peer will neither read nor write any more."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


async def receive(connection: trio.socket.SocketType) -> tuple[bytes, list[int]]:
    """Bytes and descriptors; `b""` at the end. A lost connection is an end."""
    space = socket.CMSG_SPACE(4 * MAX_FDS)
    try:
        data, ancillary, _, _ = await connection.recvmsg(READ_SIZE, space, socket.MSG_CMSG_CLOEXEC)
    except (ConnectionError, trio.ClosedResourceError):
        return b"", []
    fds: list[int] = []
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(raw[: len(raw) - len(raw) % numbers.itemsize])
            fds += numbers
    return data, fds


async def send(connection: trio.socket.SocketType, data: bytes, fds: list[int]) -> None:
    """Send bytes, descriptors with the first of them. Raises ConnectionError when the peer is gone."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = await connection.sendmsg([data], rights)
    while sent < len(data):
        sent += await connection.send(data[sent:])


def _clear(path: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise SocketBusyError(f"{path} exists and is no socket; choose another --socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
        raise SocketBusyError(f"a daemon answers at {path} already; stop it, or choose another --socket")
