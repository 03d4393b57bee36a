"""The composition root: the routes over an open hub, and the server in the foreground."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from respool_hub.api import (
    answers,
    checkpoints,
    deleting,
    edits,
    keys,
    lineage,
    machine,
    openapi,
    records,
    runs,
    sweeps,
    teams,
)
from respool_hub.api import bytes as raw
from respool_hub.api.socket_body import BodyProtocol
from respool_hub.config import ConfigError, HubConfig, Listen, parse_listen
from respool_hub.hub import KEY_FILE, Hub, open_hub
from respool_hub.notify import notify, watchdog_seconds
from respool_hub.service.refusal import RefusalError
from respool_hub.store.ports import StoreError
from respool_hub.sweeping import mark_forever, sweep_forever

GRACE_SECONDS = 10
IDLE_SECONDS = 75
"""A kept connection outlives four heartbeats."""


def create_app(hub: Hub) -> Starlette:
    """The ASGI application of an open hub. The caller closes the hub."""
    parts = (machine, records, raw, checkpoints, runs, edits, deleting, keys, teams, openapi, lineage, sweeps)
    return Starlette(
        routes=[route for part in parts for route in part.routes(hub)],
        exception_handlers={
            RefusalError: answers.refused,
            StoreError: answers.store_failed,
            HTTPException: answers.no_route,
            Exception: answers.broken,
        },
    )


def serve(config: HubConfig) -> None:
    """Run a hub until SIGTERM or SIGINT. Raises ConfigError before it serves anything."""
    listen = parse_listen(config.listen)
    fresh = not os.path.exists(os.path.join(config.data, KEY_FILE))
    with _bound(listen) as bound:
        url = None if listen.path else _url(bound)
        hub = open_hub(config, name=url or config.listen, url=url)
        try:
            if fresh:
                path = os.path.join(config.data, KEY_FILE)
                print(f"respool hub: the admin key is in {path}", file=sys.stderr, flush=True)
            ready = f"respool hub ready at {url or config.listen} (data in {config.data})"
            _run(hub, Server(settings(hub), ready), bound)
        finally:
            hub.close()


def settings(hub: Hub) -> uvicorn.Config:
    """Uvicorn as it is measured to be fastest: uvloop, httptools, HTTP/1.1, no access log."""
    return uvicorn.Config(
        create_app(hub),
        loop="uvloop",
        http=BodyProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        callback_notify=_show_life,
        timeout_notify=int(watchdog_seconds() or IDLE_SECONDS),
    )


async def _show_life() -> None:
    """Called by uvicorn's loop, so that systemd hears from it as long as it turns."""
    notify("WATCHDOG=1")


class Server(uvicorn.Server):
    """Says when it accepts, and ends in peace: uvicorn raises the signal again when all is done, which
    would end a clean stop with the signal's exit code.
    """

    def __init__(self, config: uvicorn.Config, ready: str | None = None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready:
            notify("READY=1")
            print(self._ready, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _run(hub: Hub, server: Server, bound: socket.socket) -> None:
    async def serve_and_sweep() -> None:
        beside = [asyncio.create_task(work) for work in (sweep_forever(hub), mark_forever(hub))]
        try:
            await server.serve([bound])
        finally:
            for task in beside:
                task.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_and_sweep())


@contextmanager
def _bound(listen: Listen) -> Iterator[socket.socket]:
    """A listening socket, and no file left behind."""
    bound = _bind_path(listen.path) if listen.path else _bind_port(listen)
    inode = os.stat(listen.path).st_ino if listen.path else 0
    try:
        yield bound
    finally:
        bound.close()
        if listen.path:
            _remove(listen.path, inode)


def _bind_port(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _listening(bound, (listen.host, listen.port), f"{listen.host}:{listen.port}")


def _bind_path(path: str) -> socket.socket:
    _clear_stale(path)
    mask = os.umask(0o177)
    try:
        return _listening(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path, f"unix:{path}")
    finally:
        os.umask(mask)


def _listening(bound: socket.socket, address: str | tuple[str, int], name: str) -> socket.socket:
    try:
        bound.bind(address)
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise ConfigError(f"cannot listen at {name}: {error}. Use another --listen.") from error
    return bound


def _clear_stale(path: str) -> None:
    """Remove the socket of a hub that is no more. Raises ConfigError when one answers, or it is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ConfigError(f"cannot listen at unix:{path}: it is a file. Use another --listen.")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
        return
    except OSError as error:
        raise ConfigError(f"cannot listen at unix:{path}: {error}. Use another --listen.") from error
    raise ConfigError(f"cannot listen at unix:{path}: another process does. Stop it or use another --listen.")


def _remove(path: str, inode: int) -> None:
    try:
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        return


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
