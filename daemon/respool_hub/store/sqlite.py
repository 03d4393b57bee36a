"""The embedded store: SQLite in WAL mode, one thread that writes, a few that read.

Group commit: the writing thread takes all transactions that are waiting, runs each in a savepoint of its own
and commits once (synchronous=FULL: one sync), then answers all of them. So a hundred requests at once cost
one sync, and a request alone waits for nobody.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from respool_hub.config import ConfigError
from respool_hub.store.ports import Reader, StoreError, StoreFullError, Transaction
from respool_hub.store.queries import SqliteReader, SqliteTransaction
from respool_hub.store.schema import migrate

T = TypeVar("T")
READERS = 4
GROUP = 256
"""Transactions in one commit at most, so that the first does not wait for ever."""


class _Job(NamedTuple):
    work: Callable[[Any], Any]
    future: Future[Any]


class SqliteStore:
    """See `respool_hub.store.ports.Store`. Raises ConfigError when the file cannot be opened."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection = _open(path)
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._broken: str | None = None
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="hub-read")
        self._thread = threading.Thread(target=self._serve, name="hub-write", daemon=True)
        self._thread.start()

    def write(self, work: Callable[[Transaction], T]) -> Future[T]:
        future: Future[T] = Future()
        if self._broken is not None:
            future.set_exception(StoreError(self._broken))
        else:
            self._queue.put(_Job(work, future))
        return future

    def read(self, work: Callable[[Reader], T]) -> Future[T]:
        return self._readers.submit(self._read, work)

    def reader(self) -> Reader:
        return SqliteReader(_connect(self._path, read_only=True), owns=True)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._readers.shutdown()
        for connection in self._opened:
            connection.close()
        self._connection.close()

    def _read(self, work: Callable[[Reader], T]) -> T:
        if not hasattr(self._local, "reader"):
            connection = _connect(self._path, read_only=True)
            self._opened.append(connection)
            self._local.reader = SqliteReader(connection)
        return work(self._local.reader)

    def _serve(self) -> None:
        while True:
            jobs, more = self._take()
            if jobs:
                self._commit(jobs)
            if not more:
                return

    def _take(self) -> tuple[list[_Job], bool]:
        job = self._queue.get()
        jobs: list[_Job] = []
        try:
            while job is not None and len(jobs) < GROUP:
                jobs.append(job)
                if len(jobs) < GROUP:
                    job = self._queue.get_nowait()
        except Empty:
            return jobs, True
        return jobs, job is not None

    def _commit(self, jobs: list[_Job]) -> None:
        running = [job for job in jobs if job.future.set_running_or_notify_cancel()]
        transaction = SqliteTransaction(self._connection)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            done = [(job, *self._run(job.work, transaction)) for job in running]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._fail(running, error)
            return
        for job, result, failure in done:
            job.future.set_exception(failure) if failure else job.future.set_result(result)

    def _run(
        self, work: Callable[[Any], Any], transaction: SqliteTransaction
    ) -> tuple[Any, Exception | None]:
        self._connection.execute("SAVEPOINT work")
        try:
            result = work(transaction)
        except sqlite3.OperationalError:
            raise  # the disk or the database, not this work: the whole group is given back
        except Exception as error:  # noqa: BLE001 - it belongs to the caller and travels there in the future
            self._connection.execute("ROLLBACK TO work")
            self._connection.execute("RELEASE work")
            return None, error
        self._connection.execute("RELEASE work")
        return result, None

    def _fail(self, jobs: list[_Job], error: sqlite3.Error) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        kind = StoreFullError if full else StoreError
        if not full and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR:
            # After a failed fsync the kernel may have dropped the pages, and the next one would lie. A new
            # process reads what really is on the disk.
            self._broken = f"the database's disk failed ({error}); restart the hub"
        for job in jobs:
            job.future.set_exception(kind(f"the database says: {error}"))


def _open(path: str) -> sqlite3.Connection:
    try:
        connection = _connect(path, read_only=False)
        migrate(connection)
    except sqlite3.Error as error:
        raise ConfigError(
            f"database {path} cannot be used: {error}. Check the file and its folder."
        ) from error
    os.chmod(path, 0o600)
    return connection


def _connect(path: str, *, read_only: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute(f"PRAGMA query_only = {int(read_only)}")
    return connection
