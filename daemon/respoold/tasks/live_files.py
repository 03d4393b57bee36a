"""Watching the files that trainers saved as `live`, and snapshotting what settles: see `respoold.core.live_file`.

Only for trainers of the daemon's own user: what a system daemon may read of a path is not what its owner may. Events
are hints, a look every RESCAN_SECONDS is the truth.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

import trio

from respool.blobs import SnapshotError, open_source, snapshot
from respool.later_versions import stamp_at, stamp_of
from respool.wire import codec
from respool.wire.file_messages import Watch, Watched
from respool.wire.frames import Kind
from respool.wire.messages import Message
from respool.wire.settling import Stamp
from respoold.core.attempt import Attempt
from respoold.core.live_file import LiveFile, Version
from respoold.io import blobs, chunks, open_files, processes
from respoold.io.reader import Reader
from respoold.io.watch import Watcher, watching
from respoold.tasks import vault
from respoold.tasks.keeper import Keeper

LOOK_SECONDS = 0.5
RESCAN_SECONDS = 5.0
MOST = 1024
"""Live files of one writer."""
TOLD_AT_ONCE = 16
"""Versions that a writer is told of and has not recorded: a connection on which too much waits is given up."""

Key = tuple[str, int, str]
"""Attempt, writer, and the file's name in the run."""


class LiveFiles:
    """The live files of all attempts. `watch` looks at them until it is cancelled."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._files: dict[Key, LiveFile] = {}
        self._wishes: list[tuple[Reader, Watch]] = []
        self._count = 0
        self._watcher: Watcher | None = None
        self._limiter = trio.CapacityLimiter(1)

    def wish(self, uid: int, reader: Reader, message: Watch) -> None:
        """A trainer wants later versions of a file, or no more of them."""
        if uid == os.geteuid() and reader.own and self._watcher is not None:
            self._wishes.append((reader, message))
            self._watcher.bell.ring()

    async def watch(self) -> NoReturn:
        """Look at them whenever something happened to them, and at times."""
        async with watching(written=True) as watcher:
            self._watcher = watcher
            while True:
                try:
                    await self._turn(watcher)
                    self._keeper.resolve("live files")
                except OSError as error:
                    self._keeper.warn(f"live files cannot be watched: {error}", "live files")
                await self._pause(watcher)

    async def last(self, attempt: Attempt, reader: Reader) -> None:
        """The writer's process has ended, and all its records were read: what it did not record is recorded here."""
        mine = [key for key in self._files if key[:2] == (attempt.id, reader.writer)]
        for key in mine:
            one = self._files.pop(key)
            one.recorded(attempt.files)
            version = None if attempt.end_of(reader.writer).ended else one.last(_newest(attempt, key))
            kept = version is not None and _record(reader, one.name, version)
            while self._keeper.look(reader):  # the next one goes behind it
                await trio.lowlevel.checkpoint()
            held = [token for token in one.held if version is None or not kept or token != version.token]
            await self._delete(attempt, held)

    async def _turn(self, watcher: Watcher) -> None:
        await self._grant()
        await self._let_go()
        watcher.cover({os.path.dirname(one.path) for one in self._files.values()})
        await self._look()

    async def _grant(self) -> None:
        wishes, self._wishes = self._wishes, []
        granted: dict[tuple[str, int], list[str]] = {}
        for reader, message in wishes:
            key = (reader.attempt.id, reader.writer, message.name)
            known = self._files.get(key)
            if known is not None:
                # What was recorded before the wish was sent is in the segment.
                while self._keeper.look(reader):
                    await trio.lowlevel.checkpoint()
                known.recorded(reader.attempt.files)
            if known is not None and (known.path, known.base) == (message.path, message.token):
                granted.setdefault(key[:2], []).append(message.name)
                self._say(key[:2], known.news(again=True))
                continue
            if known is not None:
                await self._delete(reader.attempt, self._files.pop(key).held)
            if _makes_sense(message) and self._may(reader):
                stamp = Stamp(*message.stamp)
                self._files[key] = LiveFile(message.path, message.name, message.token, stamp)
                granted.setdefault(key[:2], []).append(message.name)
        for writer, names in granted.items():
            self._say(writer, Watched(names))

    def _may(self, reader: Reader) -> bool:
        """A path means to the writer what it means here, not as in a container; and there are not too many of them."""
        attempt, slot = reader.attempt, reader.writer
        few = sum(key[:2] == (attempt.id, slot) for key in self._files) < MOST
        return few and _lives(attempt, slot) and processes.sees_as_we(attempt.writers[slot].paper.pid)

    async def _let_go(self) -> None:
        """Those whose writers have recorded their end, and those whose attempts are gone."""
        for key in list(self._files):
            attempt = self._keeper.node.get(key[0])
            if attempt is None:
                del self._files[key]
            elif attempt.end_of(key[1]).over:
                await self._delete(attempt, self._files.pop(key).held)

    async def _look(self) -> None:
        paths = {key: one.path for key, one in self._files.items()}
        stamps = await trio.to_thread.run_sync(_stamps, paths, limiter=self._limiter)
        now = trio.current_time()
        settled = [(attempt, one) for key, attempt, one in self._living() if one.looked(stamps.get(key), now)]
        if settled:
            busy = await trio.to_thread.run_sync(open_files.written, limiter=self._limiter)
            for attempt, one in settled:
                await self._take(attempt, one, busy)
        self._tell()

    def _tell(self) -> None:
        """What there is for each writer to record, a few at a time: it may read nothing for long."""
        told = Counter[tuple[str, int]]()
        for key, attempt, one in self._living():
            one.recorded(attempt.files)
            told[key[:2]] += one.told is not None
        for key, _, one in self._living():
            if told[key[:2]] < TOLD_AT_ONCE and (news := one.news()) is not None:
                told[key[:2]] += 1
                self._say(key[:2], news)

    def _living(self) -> Iterator[tuple[Key, Attempt, LiveFile]]:
        for key, one in self._files.items():
            attempt = self._keeper.node.get(key[0])
            if attempt is not None and _lives(attempt, key[1]):
                yield key, attempt, one

    async def _take(self, attempt: Attempt, one: LiveFile, busy: set[open_files.Identity]) -> None:
        stamp = one.seen
        if stamp is None or not any(known is one for _, _, known in self._living()):
            return
        refusal = await vault.make_room(self._keeper, attempt.file.uid, stamp.size)
        if refusal is not None:
            one.passed(stamp)
            self._keeper.warn(refusal, f"files of {attempt.file.uid}", attempt.file.uid)
            return
        self._count += 1
        token = f"l{os.getpid()}-{time.time_ns():x}-{self._count}"
        begin = trio.current_time()
        version = await trio.to_thread.run_sync(
            _snapshot, attempt.directory, token, one.path, stamp, busy, limiter=self._limiter
        )
        now = trio.current_time()
        if version is None:
            one.busy(now + RESCAN_SECONDS)
            return
        # It may have died meanwhile, or saved the file itself: what that means was judged without this one.
        current = any(known is one for _, _, known in self._living())
        replaced = one.taken(version, now - begin, now) if current else [token]
        await self._delete(attempt, replaced)

    def _say(self, writer: tuple[str, int], message: Message | None) -> None:
        for listener in self._keeper.voices.of(*writer) if message is not None else ():
            listener(message, 0, [])

    async def _delete(self, attempt: Attempt, tokens: list[str]) -> None:
        for token in (one for one in tokens if one not in attempt.files):
            with suppress(OSError):  # what nobody names is removed where room is short
                await trio.to_thread.run_sync(chunks.delete, attempt.directory, token)

    async def _pause(self, watcher: Watcher) -> None:
        """Until something happens, but not at once: a folder may be busy with other files."""
        await trio.sleep(LOOK_SECONDS)
        if any(one.moving for one in self._files.values()):
            return
        with trio.move_on_after(RESCAN_SECONDS if self._files else float("inf")):
            await watcher.bell.wait()


def _makes_sense(message: Watch) -> bool:
    return message.path[:1] == "/" and "\0" not in message.path and len(message.stamp) == len(Stamp._fields)


def _lives(attempt: Attempt, slot: int) -> bool:
    writer = attempt.writers.get(slot)
    return writer is not None and writer.alive and writer.died_at is None


def _stamps(paths: dict[Key, str]) -> dict[Key, Stamp | None]:
    return {key: stamp_at(path) for key, path in paths.items()}


def _newest(attempt: Attempt, key: Key) -> str | None:
    mine = [one for one in attempt.files.values() if (one.writer, one.name) == key[1:]]
    return max(mine, key=lambda one: one.seq).token if mine else None


def _record(reader: Reader, name: str, version: Version) -> bool:
    record = {**version.file, "name": name, "blob": version.token, "policy": "live"}
    try:
        return reader.append(Kind.FILE, codec.pack(record), time.time())
    except OSError:
        return False  # its disk failed: that is told of where its records are read


def _snapshot(
    directory: str, token: str, path: str, stamp: Stamp, busy: set[open_files.Identity]
) -> Version | None:
    """A file as it is, if it is what it was and nobody was about to write to it. For a thread."""
    try:
        source = open_source(path)
    except SnapshotError:
        return None
    try:
        status = os.fstat(source)
        if (status.st_dev, status.st_ino) in busy:
            return None
        target = blobs.create(directory, token)
        try:
            _, how = snapshot(source, target)
        finally:
            os.close(target)
        status = os.fstat(source)
        if stamp_of(status) == stamp:
            return Version(token, stamp, {"size": status.st_size, "mtime": status.st_mtime, "how": how})
    except (OSError, SnapshotError):
        pass
    finally:
        os.close(source)
    chunks.delete(directory, token)
    return None
