"""A daemon in a thread: `respool.wire` as the server, real segment files, and a knob for each way to fail.

It keeps nothing in mind beyond what it needs to answer: attempts with their folders and spares. It can die
(`die`) and come back on the same socket and folder (`start`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Any

from respool.wire.connection import Connection, Received, Role
from respool.wire.errors import WireError
from respool.wire.file_messages import (
    BlobDone,
    BlobDropped,
    BlobGrant,
    BlobKept,
    BlobRequest,
    Restore,
    Restored,
    Settle,
    Settled,
    Stage,
    Staged,
)
from respool.wire.frames import Frame, walk
from respool.wire.identity import attempt_id_of
from respool.wire.messages import (
    Attach,
    Attached,
    Flush,
    Flushed,
    Hello,
    Reattach,
    Reattached,
    Refused,
    Ring,
    Rolled,
    Spare,
    Status,
    StatusRequest,
    Waiting,
    Welcome,
)
from respool.wire.segment import DATA, SegmentHeader, encode_header, segment_name
from respool.wire.view import View


class FakeDaemon:
    """Knobs: `silent` (accepts, never answers), `refuse` (answer to every Attach), `full` (no spare segments),
    `late` (spares are held back), `answer` (fields of Attached to change), `waiting` (sent before an answer),
    `at_hub` (whether Flush(hub) succeeds), `files` (what can be restored), `hub_away` (others may be there),
    `stages` (bytes of staged memory that it gets to copy), `status` (what its Status says), `mute` (it sends none).
    Record: `heard`, the messages; `held`, the staged memory.
    """

    def __init__(self, folder: str, capacity: int = 1 << 20) -> None:
        self.folder = folder
        self.path = os.path.join(folder, "d.sock")
        self.capacity = capacity
        self.silent = False
        self.refuse: Refused | None = None
        self.full = False
        self.late = False
        self.blobs_full = False
        self.hub_away = False
        self.unknown = False
        self.refuse_done: str | None = None
        self.no_stage = False
        self.stages: int | None = None
        self.held: list[int] = []
        self.at_hub = True
        self.mute = False
        self.status: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}
        self.waiting: Waiting | None = None
        self.files: dict[str, bytes] = {}
        self.heard: list[Any] = []
        self.attempts: list[str] = []
        self.launches: list[tuple[str, str, str]] = []
        self._listener: socket.socket | None = None
        self._clients: list[tuple[socket.socket, Connection]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self) -> FakeDaemon:
        """Listen, on the socket it had before if it died."""
        if os.path.exists(self.path):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()
        self._listener = listener
        self._spawn(self._accept, listener)
        return self

    def die(self) -> None:
        """As SIGKILL: every socket closes at once. The folder stays."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            clients, self._clients = self._clients, []
        for client, _ in clients:
            with contextlib.suppress(OSError):  # it may have hung up just now
                client.shutdown(socket.SHUT_RDWR)
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(5)

    def of(self, kind: type[Any]) -> list[Any]:
        """The messages of one kind that were heard."""
        return [message for message in self.heard if isinstance(message, kind)]

    def tell(self, message: Any, *fds: int) -> None:
        """Send a message to every client, unasked."""
        with self._lock:
            for client, connection in self._clients:
                _send(client, connection.send(message, fds=len(fds)), list(fds))

    def spare(self, segment: int, *, roll: bool = False) -> None:
        """Send the spare `segment` of the last attempt, unasked."""
        fd = self._segment(self.attempts[-1], segment)
        self.tell(Spare(segment, self.capacity, roll), fd)
        os.close(fd)

    def directory(self, attempt_id: str | None = None) -> str:
        """The folder of an attempt, the last one unless named."""
        return os.path.join(self.folder, attempt_id or self.attempts[-1])

    def frames(self, attempt_id: str | None = None) -> list[Frame]:
        """All frames of an attempt, in order."""
        return frames_in(self.directory(attempt_id))

    def view(self, attempt_id: str | None = None) -> View:
        """The fold of an attempt."""
        view = View()
        for frame in self.frames(attempt_id):
            view.apply(frame)
        return view

    def _spawn(self, act: Any, *args: Any) -> None:
        thread = threading.Thread(target=act, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        connection = Connection(Role.SERVER)
        with self._lock:
            self._clients.append((client, connection))
        try:
            while True:
                data, fds, _, _ = socket.recv_fds(client, 1 << 16, 8)
                if not data:
                    break
                if self.silent:
                    self.held += fds
                    continue
                connection.receive_data(data, fds)
                for received in connection.events():
                    with self._lock:
                        self.heard.append(received.message)
                        self._handle(client, connection, received)
        except (OSError, WireError):
            pass
        finally:
            with self._lock:
                self._clients = [pair for pair in self._clients if pair[0] is not client]
            client.close()

    def _handle(self, client: socket.socket, connection: Connection, received: Received) -> None:
        def reply(message: Any, *fds: int) -> None:
            _send(client, connection.send(message, request=received.request, fds=len(fds)), list(fds))
            for fd in fds:
                os.close(fd)

        match received.message:
            case Hello():
                reply(Welcome(1, "fake", "here"))
            case Attach(request):
                self._attach(request, reply)
            case Reattach(attempt_id, _, segment):
                if self.unknown or attempt_id not in self.attempts:
                    reply(Refused("unknown-attempt", "No such attempt here.", "Start the run again."))
                else:
                    reply(Reattached(attempt_id))
                    self._spare(attempt_id, segment + 1, reply)
            case Rolled(segment) if not self.late:
                self._spare(self.attempts[-1], segment + 1, reply)
            case Flush(hub):
                done = not hub or self.at_hub
                reply(Flushed(self.frames()[-1].next_seq, None if done else "the hub is away"))
            case BlobRequest():
                self._blob(reply)
            case BlobDone():
                reply(BlobKept(self.refuse_done))
            case BlobDropped(tokens):
                for token in tokens:
                    os.unlink(os.path.join(self.directory(), "blobs", token))
            case Settle(tokens):
                reply(Settled(None if self.stages is None else f"{tokens} is not whole"))
            case Stage(token, size):
                self._stage(token, size, received.fds, reply)
            case Restore(name, _):
                self._restore(name, reply)
            case StatusRequest():
                if not self.mute:
                    reply(Status({"daemon": "fake", **self.status}))
            case Ring() | Rolled():
                pass

    def _attach(self, request: dict[str, Any], reply: Any) -> None:
        if self.waiting is not None:
            reply(self.waiting)
        if self.refuse is not None:
            reply(self.refuse)
            return
        names = tuple(request[name] for name in ("project", "run_id", "launch"))
        self.launches.append(names)
        attempt_id = attempt_id_of(*names, self.launches.count(names) - 1)
        self.attempts.append(attempt_id)
        os.makedirs(os.path.join(self.directory(), "blobs"), exist_ok=True)
        attached = Attached(
            attempt_id,
            names[0],
            names[1],
            number=len(self.attempts),
            capacity=self.capacity,
            directory=self.directory(),
        )._replace(**self.answer)
        reply(attached, self._segment(attempt_id, 0), self._segment(attempt_id, 1))

    def _segment(self, attempt_id: str, segment: int) -> int:
        path = os.path.join(self.directory(attempt_id), segment_name(0, segment))
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not os.fstat(fd).st_size:
            os.posix_fallocate(fd, 0, self.capacity)
            os.pwrite(fd, encode_header(SegmentHeader(attempt_id, 0, segment, time.time())), 0)
        return fd

    def _spare(self, attempt_id: str, segment: int, reply: Any) -> None:
        if self.full:
            reply(Spare(segment, 0, full=True))
        else:
            reply(Spare(segment, self.capacity), self._segment(attempt_id, segment))

    def _blob(self, reply: Any) -> None:
        if self.blobs_full:
            reply(BlobGrant("", "the quota for files is used up"))
            return
        token = f"b{len(self.heard)}"
        path = os.path.join(self.directory(), "blobs", token)
        reply(BlobGrant(token), os.open(path, os.O_RDWR | os.O_CREAT, 0o600))

    def _stage(self, token: str, size: int, fds: list[int], reply: Any) -> None:
        if self.no_stage:
            reply(Staged("no"))
        else:
            with open(os.path.join(self.directory(), "blobs", token), "r+b") as file:
                file.write(os.pread(fds[0], size if self.stages is None else self.stages, 0))
            reply(Staged())
        self.held.append(fds[0])

    def _restore(self, name: str, reply: Any) -> None:
        if name not in self.files:
            reply(Restored(error=f"no file {name}", uncertain=self.hub_away))
            return
        fd = os.memfd_create("restored")
        os.write(fd, self.files[name])
        reply(Restored(size=len(self.files[name])), fd)


def frames_in(directory: str) -> list[Frame]:
    """All whole frames of writer 0 in an attempt's folder, in order."""
    found: list[Frame] = []
    for name in sorted(os.listdir(directory)):
        if name.endswith(".seg"):
            with open(os.path.join(directory, name), "rb") as file:
                found += walk(file.read(), DATA).frames
    return found


def _send(client: socket.socket, data: bytes, fds: list[int]) -> None:
    if fds:
        sent = socket.send_fds(client, [data], fds)
        client.sendall(data[sent:])
    else:
        client.sendall(data)
