"""watchdog's door: news in watched folders ring a bell, nothing more."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

import trio
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

from respool import mounts
from respoold.doorbell import Doorbell

NEWS = [FileCreatedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent]
"""What is worth a look: something appeared. Not opens and reads, which our own look causes: it would never end."""

WRITTEN = [*NEWS, FileClosedEvent]
"""And a file was written: its closing, for a large one has thousands of write(2)."""

POLL_SECONDS = 5.0


class _Ringer(FileSystemEventHandler):
    def __init__(self, bell: Doorbell, token: trio.lowlevel.TrioToken) -> None:
        self._bell, self._token = bell, token

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - which event does not matter
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._bell.ring, idempotent=True)


class Watcher:
    """Folders that ring `bell` when something happens in them; made by `watching`. Local disks are watched by
    inotify, file systems that other machines write to are polled: there the kernel tells nothing.
    """

    def __init__(
        self, ringer: _Ringer, bell: Doorbell, kind_of: Callable[[str], str], poll: float, *, written: bool
    ) -> None:
        self.bell = bell
        self._written = written
        self._ringer = ringer
        self._kind_of = kind_of
        self._poll = poll
        self._observers: dict[bool, BaseObserver] = {}
        self._watches: dict[str, tuple[BaseObserver, ObservedWatch] | None] = {}

    def cover(self, folders: Iterable[str]) -> None:
        """Watch these folders and no others from now on; by their real paths, for a symlink would see nothing.
        One that cannot be watched stays silent, such as where a user's inotify instances are used up: events are
        hints, whoever waits for them looks by himself too.
        """
        wanted = {os.path.realpath(folder) for folder in folders}
        for gone in self._watches.keys() - wanted:
            watch = self._watches.pop(gone)
            if watch is not None:
                with suppress(OSError, KeyError):
                    watch[0].unschedule(watch[1])
        for folder in wanted - self._watches.keys():
            self._watches[folder] = self._watch(folder)

    def stop(self) -> None:
        """End the observers' threads. Waits for them."""
        for observer in self._observers.values():
            observer.stop()
        for observer in self._observers.values():
            observer.join()

    def polled(self) -> set[str]:
        """The folders that are polled."""
        polling = self._observers.get(True)
        return {folder for folder, watch in self._watches.items() if watch and watch[0] is polling}

    def _watch(self, folder: str) -> tuple[BaseObserver, ObservedWatch] | None:
        try:
            shared = not self._written and mounts.is_shared(self._kind_of(folder))
            observer = self._observer(shared=shared)
            events = WRITTEN if self._written else NEWS
            return observer, observer.schedule(self._ringer, folder, event_filter=events)
        except OSError:
            return None

    def _observer(self, *, shared: bool) -> BaseObserver:
        if shared not in self._observers:
            made = PollingObserver(timeout=self._poll) if shared else Observer()
            made.start()
            self._observers[shared] = made
        return self._observers[shared]


@asynccontextmanager
async def watching(
    kind_of: Callable[[str], str] = mounts.kind_of, poll: float = POLL_SECONDS, *, written: bool = False
) -> AsyncIterator[Watcher]:
    """A watcher, whose threads end with the block. `written`: a file that a process of this machine wrote rings too,
    of which the kernel tells on any file system: nothing is polled, for the folder may be a large one.
    """
    bell = Doorbell()
    watcher = Watcher(_Ringer(bell, trio.lowlevel.current_trio_token()), bell, kind_of, poll, written=written)
    try:
        yield watcher
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(watcher.stop)
