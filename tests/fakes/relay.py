"""A wire between a daemon and its hub that counts: raw bytes, both ways, nothing understood and nothing kept.

    with Relay("unix:/path/hub.sock") as relay:
        daemon = ... --hub relay.url
        relay.towards_hub, relay.from_hub

What a killed sender had sent of a body counts, which a count of whole requests would miss.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

PIECE = 1 << 20


class Relay:
    """Listens on loopback from the beginning to the end of the `with`; while the hub is away it hangs up."""

    def __init__(self, hub: str) -> None:
        self._path = hub.removeprefix("unix:")
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self.towards_hub = self.from_hub = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()
        for one in list(self._open):
            _hang_up(one)

    def _accept(self) -> None:
        while True:
            try:
                near = self._server.accept()[0]
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._path)
            except OSError:
                near.close()
                far.close()
                continue
            self._open |= {near, far}
            for source, target, counts in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, target, counts), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, towards_hub: bool) -> None:
        buffer = memoryview(bytearray(PIECE))
        with contextlib.suppress(OSError):
            while got := source.recv_into(buffer):
                with self._lock:
                    if towards_hub:
                        self.towards_hub += got
                    else:
                        self.from_hub += got
                target.sendall(buffer[:got])
        for one in (source, target):
            _hang_up(one)
        with self._lock:
            # Whoever is done last closes both: the other thread must not read from a number that is used again.
            ended = target not in self._open
            self._open -= {source}
        if ended:
            source.close()
            target.close()


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
