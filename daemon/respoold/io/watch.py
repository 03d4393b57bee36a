"""watchdog's door: news in a folder ring a bell, nothing more."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from respoold.doorbell import Doorbell

NEWS = [FileCreatedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent]
"""What is worth a look: something appeared. Not opens and reads, which our own look causes: it would never end."""


class _Ringer(FileSystemEventHandler):
    def __init__(self, bell: Doorbell, token: trio.lowlevel.TrioToken) -> None:
        self._bell, self._token = bell, token

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - which event does not matter
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._bell.ring, idempotent=True)


@asynccontextmanager
async def watch(folder: str) -> AsyncIterator[Doorbell]:
    """A bell that rings when something appears in `folder` (its real path: a symlink would see nothing). It
    stays silent where the system has no watch to give, such as a user whose inotify instances are used up:
    events are hints, whoever waits for them looks by himself too.
    """
    bell = Doorbell()
    observer = _observe(folder, _Ringer(bell, trio.lowlevel.current_trio_token()))
    try:
        yield bell
    finally:
        if observer is not None:
            observer.stop()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(observer.join)


def _observe(folder: str, ringer: _Ringer) -> BaseObserver | None:
    try:
        observer = Observer()
        observer.schedule(ringer, os.path.realpath(folder), event_filter=NEWS)
        observer.start()
    except OSError:
        return None
    return observer
