"""One open hub: the stores, the clocks, and the folder's lock. `open_hub` makes it, `close` ends it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from respool_hub.cleaner import Cleaner
from respool_hub.clock import Clock, Ears, Now, SystemClock
from respool_hub.config import ConfigError, HubConfig
from respool_hub.keyring import Keyring
from respool_hub.service.access import Scope
from respool_hub.service.keys import ADMIN, new_key
from respool_hub.service.show import path_of
from respool_hub.service.sweeps.looks import Looks
from respool_hub.store.blobs import FolderBlobs
from respool_hub.store.ports import Blobs, Reader, Store, StoreError, Transaction
from respool_hub.store.rows import RunRow
from respool_hub.store.sqlite import SqliteStore
from respool_hub.tidemark import Tidemark

T = TypeVar("T")
KEY_FILE = "admin-key"
STREAMS = 8
"""Histories and files read or written at once; more wait their turn."""


@dataclass(frozen=True)
class Hub:
    """`name` is what people call it, `url` where they reach it (None: only over a Unix socket). `project_quota`: bytes
    that the files and checkpoints of one project may hold, 0 for no limit.
    """

    store: Store
    blobs: Blobs
    clock: Clock
    ears: Ears
    keyring: Keyring
    cleaner: Cleaner
    tidemark: Tidemark
    incarnation: str
    secret: bytes
    name: str
    url: str | None
    streams: ThreadPoolExecutor
    lock: int
    project_quota: int = 0
    looks: Looks = field(default_factory=Looks)

    def now(self) -> Now:
        return Now(self.clock.wall(), self.ears)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run a transaction; when this returns its effects are durable."""
        return await asyncio.wrap_future(self.store.write(work))

    async def read(self, work: Callable[[Reader], T]) -> T:
        return await asyncio.wrap_future(self.store.read(work))

    async def study(self, work: Callable[[Reader], T]) -> T:
        """Read what may take long, without standing in the way of `read`."""

        def alone() -> T:
            with self.store.reader() as reader:
                return work(reader)

        return await self.in_thread(alone)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what blocks or takes long beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.streams, work)

    def url_of(self, run: RunRow) -> str | None:
        return None if self.url is None else self.url + path_of(run)

    def close(self) -> None:
        """Finish what was asked and let the folder go."""
        self.cleaner.stop()
        self.streams.shutdown()
        with suppress(OSError, StoreError):
            self.tidemark.note(self.store.read(lambda reader: reader.extent()).result())
        self.store.close()
        self.blobs.close()
        os.close(self.lock)


def open_hub(config: HubConfig, *, clock: Clock | None = None, name: str = "", url: str | None = None) -> Hub:
    """Open the data folder, making it if need be. Raises ConfigError when that cannot be, or when another
    hub has it.
    """
    lock = _lock(config.data)
    try:
        return _opened(config, clock or SystemClock(), lock, name or config.listen, url)
    except ConfigError:
        os.close(lock)
        raise
    except (OSError, StoreError) as error:
        os.close(lock)
        raise ConfigError(f"data folder {config.data} cannot be used: {error}. Check its rights.") from error


def _opened(config: HubConfig, clock: Clock, lock: int, name: str, url: str | None) -> Hub:
    blobs = FolderBlobs(os.path.join(config.data, "blobs"))
    store = SqliteStore(os.path.join(config.data, "hub.sqlite"))
    try:
        _admin_key(store, config.data, clock)
        tidemark = Tidemark(config.data)
        incarnation = tidemark.settle(store, config.restored)
        secret = store.write(_secret).result()
    except BaseException:
        store.close()
        raise
    streams = ThreadPoolExecutor(STREAMS, thread_name_prefix="hub-stream")
    cleaner = Cleaner(store)
    streams.submit(cleaner.run)
    doors = (Keyring(clock), cleaner, tidemark, incarnation, secret)
    return Hub(store, blobs, clock, Ears(clock), *doors, name, url, streams, lock, config.project_quota)


def _lock(data: str) -> int:
    try:
        os.makedirs(data, mode=0o700, exist_ok=True)
        fd = os.open(os.path.join(data, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"data folder {data} cannot be used: {error}. Choose one you may write to."
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise ConfigError(
            f"data folder {data} is in use by another hub. Stop it or use another --data."
        ) from error
    return fd


def _admin_key(store: Store, data: str, clock: Clock) -> None:
    """Make the first key. The file is there before the key works, so that a hub killed in between starts
    over with a new one instead of locking everybody out.
    """
    if store.read(lambda reader: reader.keys(None)).result():
        return
    made = new_key(ADMIN, Scope.ADMIN, None, "made at first start", clock.wall())
    _write_private(os.path.join(data, KEY_FILE), made.key + "\n")
    store.write(lambda tx: tx.add_key(made.row)).result()


def _secret(tx: Transaction) -> bytes:
    """What attempt tokens are signed with: made once, and part of the data, so that tokens outlive restarts."""
    if tx.setting("token-secret") is None:
        tx.put_setting("token-secret", secrets.token_hex(32))
    return bytes.fromhex(tx.setting("token-secret") or "")


def _write_private(path: str, text: str) -> None:
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(path + ".new", path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)
