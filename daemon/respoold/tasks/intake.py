"""One client's connection: messages in, decisions carried out, answers and notices out.

A connection that ends says nothing about its process: that is the reaper's to see.
"""

from __future__ import annotations

import os
from contextlib import suppress

import trio

from respool.process import boot_id
from respool.wire.attempt import Request, parse_request
from respool.wire.connection import Connection, Received, Role, State, choose_version
from respool.wire.errors import WireError
from respool.wire.file_messages import CheckpointsAsked, Restore, RestorePart, Stage
from respool.wire.messages import (
    Adopt,
    Attach,
    Flush,
    Flushed,
    Foretold,
    Hello,
    Left,
    Message,
    Reattach,
    Reattached,
    Refused,
    Ring,
    Rolled,
    SpoolRequest,
    Status,
    StatusRequest,
    Waiting,
    Welcome,
)
from respoold import __version__
from respoold.core.attempt import Attempt
from respoold.io import disk, processes
from respoold.io import socket as doors
from respoold.io.reader import Reader
from respoold.tasks import listing
from respoold.tasks.asker import Asker
from respoold.tasks.attach import attach
from respoold.tasks.deposits import KINDS, Deposits
from respoold.tasks.keeper import Keeper
from respoold.tasks.keys import lend
from respoold.tasks.purge import answer as answer_spool
from respoold.tasks.restore import restore
from respoold.tasks.status import status
from respoold.tasks.voices import WITHDRAWN, standing
from respoold.tasks.warden import Warden

NO_HUB = "this daemon has no hub; `respool login URL` names one"
NOTICES = 64
"""Messages a client may leave unread before its connection is given up: it reconnects when it reads again."""


async def serve_clients(
    keeper: Keeper,
    listener: trio.socket.SocketType,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept until cancelled; connections end with the nursery they run in."""
    async with trio.open_nursery() as nursery:
        task_status.started()
        while True:
            connection, _ = await listener.accept()
            nursery.start_soon(_serve, keeper, connection)


async def _serve(keeper: Keeper, connection: trio.socket.SocketType) -> None:
    with connection:
        client = Client(keeper, connection)
        keeper.clients += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.write_forever)
                await client.read_to_end(nursery)
                nursery.cancel_scope.cancel()
        except* (WireError, ConnectionError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer is wrong or gone: its connection ends here, and nothing else does
        finally:
            client.leave()
            keeper.clients -= 1


class Client:
    """A connected process. What it owns in the spool is decided by the kernel's word for its uid."""

    def __init__(self, keeper: Keeper, connection: trio.socket.SocketType) -> None:
        self.keeper = keeper
        self.peer = doors.peer_of(connection)
        self.protocol = Connection(Role.SERVER)
        self.attempt: Attempt | None = None
        self.reader: Reader | None = None
        self._refused: int | None = None
        self._socket = connection
        self._warden = Warden(keeper, self.peer)
        self._out_send, self._out_receive = trio.open_memory_channel[tuple[bytes, list[int]]](NOTICES)
        self._deposits = Deposits(keeper, self.peer.uid, self.queue)
        self._request = 0
        self._key = ""

    async def read_to_end(self, nursery: trio.Nursery) -> None:
        """Read and handle messages until the peer is gone."""
        while True:
            data, fds = await doors.receive(self._socket)
            self.protocol.receive_data(data, fds)
            for received in self.protocol.events():
                if not isinstance(received.message, (Adopt, Stage)):
                    _close_all(received.fds)  # no other message of a client carries descriptors
                await self._handle(received, nursery)
            if not data:
                return

    async def write_forever(self) -> None:
        """Send what was queued."""
        async for data, fds in self._out_receive:
            try:
                await doors.send(self._socket, data, fds)
            finally:
                _close_all(fds)

    def queue(self, message: Message, request: int = 0, fds: list[int] | None = None) -> None:
        """Queue a message; its descriptors are closed once they were sent. A client that reads nothing loses
        its connection, not our memory; one that has just hung up, of which not all know yet, gets nothing.
        """
        if self.protocol.state is State.CLOSED:
            _close_all(fds or [])
            return
        data = self.protocol.send(message, request=request, fds=len(fds or []))
        try:
            self._out_send.send_nowait((data, fds or []))
        except trio.WouldBlock:
            self._socket.close()
            _close_all(fds or [])

    def leave(self) -> None:
        """The connection is over."""
        if self.reader is not None:
            self.keeper.voices.remove(self.reader.attempt.id, self.reader.writer, self.queue)
        with suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                _close_all(self._out_receive.receive_nowait()[1])
        _close_all(self.protocol.surrender_fds())

    async def _handle(self, received: Received, nursery: trio.Nursery) -> None:
        message, request = received.message, received.request
        if isinstance(message, KINDS) and await self._deposits.handle(received, self.reader, nursery):
            return
        match message:
            case Hello():
                self._greet(message)
            case Ring() | Rolled() if self.reader is not None:
                await self._rung(message)
            case StatusRequest() | SpoolRequest() | Foretold() | Left():
                nursery.start_soon(self._tell, message, request)
            case Reattach():
                await self._reattach(message, request)
            case Attach() if self.attempt is None:
                await self._attach(message, request)
            case Flush() if self.reader is not None:
                nursery.start_soon(self._flush, self.reader, message, request)
            case Adopt():
                self._take_over(message, request, received.fds)
            case Restore() | CheckpointsAsked() | RestorePart():
                nursery.start_soon(self._give_back, message, request)
            case _:
                _close_all(received.fds if isinstance(message, Stage) else [])
                cause = f"{type(message).__name__} does not fit the state of this connection"
                self.queue(Refused("bad-request", cause), request)

    def _greet(self, hello: Hello) -> None:
        version = choose_version(hello.versions)
        if version is None:
            cause = f"{hello.client} speaks protocol {hello.versions}, this daemon ({__version__}) does not"
            self.queue(Refused("version", cause, "upgrade the older of the two"))
        else:
            self.queue(Welcome(version, __version__, os.uname().nodename, self.keeper.config.hub))

    async def _attach(self, message: Attach, request: int) -> None:
        try:
            asked = self._vouch(parse_request(message.request))
        except WireError as error:
            self.queue(Refused("bad-request", str(error)), request)
            return

        self._request = request
        answer = await attach(self.keeper, self.peer.uid, asked, self, message.key or "")
        if isinstance(answer, Refused):
            self.queue(answer, request)
            return
        self._take(answer.attempt, answer.attached.writer, message.key)
        self.queue(answer.attached, request, answer.fds)
        for notice in standing(answer.attempt):
            self.queue(notice)

    async def wait(self, reason: str, seconds: float) -> None:
        """Tell what an attach waits for, and for how many seconds at most."""
        self.queue(Waiting(reason, seconds), self._request)

    def there(self) -> bool:
        """Whether the client still waits for an answer: one that hung up in the meantime went on without us."""
        return not doors.hung_up(self._socket)

    def _vouch(self, asked: Request) -> Request:
        """The kernel's word for who the process is, in place of its own; and this node's name, whatever a container
        calls itself, for it is under that name that we beat.
        """
        asked = asked._replace(node=disk.node_name())
        process = processes.vouch(self.peer.pid)
        if process is not None:
            return asked._replace(**process._asdict())
        # Hidden by the way /proc is mounted, or of a pid namespace that we cannot see into (0).
        return asked._replace(pid=self.peer.pid, boot_id=boot_id()) if self.peer.pid else asked

    def _take_over(self, message: Adopt, request: int, fds: list[int]) -> None:
        def reply(answer: Message) -> None:
            self.queue(answer, request)  # who does not stay for the answer asks another time

        if self.keeper.handover is None:
            _close_all(fds)
            reply(Refused("bad-request", "this daemon takes nothing over"))
        else:
            self.keeper.handover.offer(self.peer.uid, message, fds, reply)

    async def _reattach(self, message: Reattach, request: int) -> None:
        attempt = self.keeper.node.get(message.attempt_id)
        writer = attempt.writers.get(message.writer) if attempt is not None else None
        mine = attempt is not None and attempt.file.uid == self.peer.uid
        if attempt is None or writer is None or not mine or writer.paper.pid != self.peer.pid:
            who = f"writer {message.writer} of attempt {message.attempt_id:.40}"
            cause = f"{who}, pid {self.peer.pid}, is not kept here"
            self.queue(Refused("unknown-attempt", cause), request)
            return
        self._take(attempt, message.writer, message.key)
        self.queue(Reattached(attempt.id), request)
        # It may have heard of one from the daemon before, which was withdrawn when nobody could tell it.
        for notice in standing(attempt) if attempt.notice else [*standing(attempt), WITHDRAWN]:
            self.queue(notice)
        if self.reader is not None:
            await self._spare(self.reader, message.segment + 1)

    def _take(self, attempt: Attempt, writer: int, key: str | None) -> None:
        if key:
            lend(self.keeper, attempt, key)
        self.attempt, self._key = attempt, key or ""
        self.reader = self.keeper.open_reader(attempt, writer)
        self.keeper.attend(self.reader)
        self.keeper.voices.add(attempt.id, writer, self.queue)

    async def _rung(self, message: Ring | Rolled) -> None:
        assert self.reader is not None
        self.keeper.attend(self.reader)
        if isinstance(message, Ring) and message.urgent:
            self.keeper.look(self.reader)
        elif isinstance(message, Rolled):
            await self._spare(self.reader, message.segment + 1)
        elif self._refused is not None:
            await self._spare(self.reader, self._refused)

    async def _spare(self, reader: Reader, segment: int) -> None:
        """Send the segment ahead. A refusal is sent once; each ring asks again whether there is room now."""
        message, fds = await self.keeper.rooms.spare(reader, segment)
        refused, self._refused = self._refused, segment if message.full else None
        if not (message.full and refused == segment):
            self.queue(message, fds=fds)

    async def _flush(self, reader: Reader, message: Flush, request: int) -> None:
        """Answer when everything written before now is on disk, or at the hub with its files. What the hub has
        need not be on disk: its segment may be gone by then.
        """
        while self.keeper.look(reader):
            await trio.lowlevel.checkpoint()
        self.keeper.attend(reader)
        attempt, target = reader.attempt, reader.tail.next_seq
        while max(reader.durable_seq, attempt.acked.get(reader.writer, 0)) < target and not _failure(reader):
            await self.keeper.progress.wait()
        while message.hub and (attempt.acked.get(reader.writer, 0) < target or attempt.pending_files()):
            never = attempt.deleted or (NO_HUB if self.keeper.uplink_of(attempt) is None else "")
            if never:
                self.queue(Flushed(target, never), request)
                return
            await self.keeper.progress.wait()
        self.queue(Flushed(target, _failure(reader)), request)

    async def _tell(self, message: StatusRequest | SpoolRequest | Foretold | Left, request: int) -> None:
        uid = self.peer.uid
        match message:
            case SpoolRequest():
                self.queue(await answer_spool(self.keeper, uid, message), request)
            case Foretold():
                self.queue(await self._warden.foretold(message), request)
            case Left():
                self.queue(await self._warden.left(message), request)
            case _:
                self.queue(Status(await status(self.keeper, uid, all_users=message.all_users)), request)

    async def _give_back(self, message: Restore | CheckpointsAsked | RestorePart, request: int) -> None:
        fd, asker = None, Asker(self.peer.uid, self.attempt, self._key)
        answer: Message
        match message:
            case Restore():
                answer, fd = await restore(self.keeper, asker, message)
            case RestorePart():
                answer, fd = await listing.part(self.keeper, asker, message)
            case _:
                answer = await listing.listed(self.keeper, asker, message)
        self.queue(answer, request, [] if fd is None else [fd])


def _failure(reader: Reader) -> str | None:
    return reader.blocked or ("the disk did not take them" if reader.suspect is not None else None)


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
