"""The keeper: everything the tasks share. It carries out what the core decided about the spool.

Nothing here waits for the hub. Methods are synchronous unless they touch the disk in bulk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from respool.autostart import Surroundings
from respool.lasting import fleeting
from respool.wire import limits
from respool.wire.attempt import Request
from respool.wire.errors import FormatError
from respool.wire.messages import Message, Notice, Spare
from respoold.config import Config
from respoold.core import quota
from respoold.core.attempt import Attempt, Pass, progress_of, restore_progress
from respoold.core.complaints import EVERYBODY, Complaints
from respoold.core.errors import HubDenied
from respoold.core.hubapi import Problem
from respoold.core.memory import Memory
from respoold.core.node import Node
from respoold.core.schedule import Priority, Stream
from respoold.doorbell import Doorbell, Progress
from respoold.io import disk, files, processes, segments, tokens
from respoold.io.journal import Journal
from respoold.io.lease import Lease
from respoold.io.reader import Reader
from respoold.io.registration import register
from respoold.tasks.uplink import Uplink, Uplinks

if TYPE_CHECKING:
    from respoold.tasks.handover import Handover

Listener = Callable[[Message, int, list[int]], None]
"""A connection's way out: a message, the request it answers (0: none), descriptors that it closes."""

NO_KEY = "this run began with its user's own key for {}, which was not exchanged yet"

SUPERSEDED = Notice(
    "superseded",
    "another attempt continues this run: what is logged here from now on stays on this attempt's own branch",
)


class Keeper:
    """One spool. `root` is its real path; tasks ring `follow` to wake others."""

    def __init__(self, config: Config, root: str) -> None:
        self.config = config
        self.root = root
        self.node = Node()
        self.journal = Journal(root)
        self.uplinks = Uplinks(config)
        self.readers: dict[tuple[str, int], Reader] = {}
        self.follow = Doorbell()
        self.births = Doorbell()
        self.retiring = trio.Lock()
        self.progress = Progress()
        self.listeners: dict[str, list[Listener]] = {}
        self.clients = 0
        self._complaints = Complaints()
        self._full: dict[Reader, str] = {}
        self._leases: dict[str, Lease] = {}
        self.handover: Handover | None = None
        self.lasting = fleeting(config.spool, Surroundings(os.environ)) is None
        self.lost = 0
        self.sent = 0
        self.sent_files = 0
        self._blobs_cap = quota.blobs_cap(config.blobs_quota, files.capacity(root)[1])
        self._saved: dict[str, float] = {}

    def load(self) -> None:
        """Take up every attempt that lies in the spool. Reads papers and progress only, no segment."""
        for _, folder in disk.tenants(self.root):
            disk.sweep(folder)
            for directory in disk.attempt_directories(folder):
                self.adopt(directory, own=True)
        for uid, _ in disk.tenants(self.root):
            tokens.sweep(self.root, uid, {attempt.id for attempt in self.node})

    def adopt(self, directory: str, *, own: bool) -> Attempt | None:
        """Keep an attempt that lies in `directory`; None for one that cannot be read, or is kept already."""
        try:
            file = disk.read_attempt(directory)
        except FormatError as error:
            self.warn(f"{error}; the folder is kept as it is")
            return None
        if file.attempt_id in self.node:
            return None
        attempt = Attempt(file, directory, adopted=not own)
        progress, writers = self._progress(file.attempt_id, directory, own=own), segments.indexes(directory)
        restore_progress(attempt, progress)
        token = tokens.read(self.root, file.uid, file.attempt_id)
        attempt.pass_ = Pass(own=token is not None, token=token or "")
        attempt.alive = not attempt.gone and processes.is_alive(attempt.request.process)
        if not (attempt.alive or writers or progress):
            # Half made or half deleted when somebody was killed: there is nothing in it, nor will be.
            if own:
                disk.delete_attempt(directory)
            return None
        self.node.add(attempt)
        if not own:
            self._leases[attempt.id] = Lease(directory)
        for writer in writers:
            self.open_reader(attempt, writer)
        self.births.ring()
        self.follow.ring()
        return attempt

    def open_reader(self, attempt: Attempt, writer: int) -> Reader:
        """The reader of a writer; looks at its segments from now on."""
        key = (attempt.id, writer)
        if key not in self.readers:
            reader = Reader(attempt, writer, own=not attempt.adopted)
            reader.closing = not attempt.alive and not attempt.elsewhere(disk.node_name())
            reader.follow_until = trio.current_time() + limits.FOLLOW_SECONDS
            self.readers[key] = reader
        return self.readers[key]

    def readers_of(self, attempt: Attempt) -> list[Reader]:
        return [reader for (attempt_id, _), reader in self.readers.items() if attempt_id == attempt.id]

    def attend(self, reader: Reader) -> None:
        """Somebody rang: look at this writer for a while."""
        reader.follow_until = trio.current_time() + limits.FOLLOW_SECONDS
        self.follow.ring()

    def look(self, reader: Reader) -> bool:
        """One look at one writer's segments; True when another would find more."""
        if reader.finished or reader.blocked:
            return False
        now = trio.current_time()
        attempt = reader.attempt
        try:
            look = reader.look(now)
        except OSError as error:
            reader.blocked = f"its segments cannot be read: {error}"
            self.warn(f"{'/'.join(attempt.run)}: {reader.blocked}", uid=attempt.file.uid)
            return False
        if look.frames:
            reader.follow_until = now + limits.FOLLOW_SECONDS
            if "state" in attempt.note(reader.writer, look.frames, now) and attempt.facts.ended:
                reader.closing = True
        if look.finished and not attempt.alive and all(one.finished for one in self.readers_of(attempt)):
            self.settled(attempt)
        elif look.frames or look.finished:
            self.offer(attempt)
        return look.more

    def died(self, attempt: Attempt) -> None:
        """Its process has ended. Judged only when its segments have been read to their end."""
        attempt.alive = False
        for reader in self.readers_of(attempt):
            reader.closing = True
            self.attend(reader)
        if not self.readers_of(attempt):
            self.settled(attempt)

    def settled(self, attempt: Attempt) -> None:
        """Every record of an attempt whose process has ended was read: now it may be judged."""
        attempt.gone = not attempt.elsewhere(disk.node_name())
        self.offer(attempt)

    def offer(self, attempt: Attempt) -> None:
        """Schedule whatever the hub has not got of this attempt, and wake whoever waits for progress."""
        uplink = self.uplink_of(attempt)
        if uplink is not None:
            for stream in _streams(attempt):
                uplink.schedule.offer(stream)
            uplink.upload.ring()
        self.progress.moved()

    def siblings(self, uid: int, request: Request) -> list[Attempt]:
        """The attempts of the run that a request names, at its hub and for its entity, the oldest first."""
        hub = request.hub or self.config.hub
        found = self.node.of_run(uid, (request.project, request.run_id))
        return [
            one
            for one in found
            if (one.request.hub or self.config.hub) == hub
            and request.entity in {None, one.entity}
            and not one.deleted
        ]

    def uplink_of(self, attempt: Attempt) -> Uplink | None:
        """Where this attempt goes; None where no hub is configured."""
        return self.uplinks.of(attempt.file.uid, attempt.request.hub)

    async def register(self, uplink: Uplink, attempt: Attempt) -> None:
        """Register an attempt that the hub does not know, or exchange the key that it waits with. Raises what the
        hub's door raises.
        """
        if attempt.pass_.stuck:
            raise HubDenied(Problem("no-key", NO_KEY.format(uplink.url)))
        answer = await register(uplink.door_of(attempt), attempt)
        if attempt.pass_.waiting and answer.token:
            attempt.pass_ = Pass(own=True, token=answer.token)
            tokens.write(self.root, attempt.file.uid, attempt.id, answer.token)

    def lend(self, attempt: Attempt, key: str) -> None:
        """The user of this attempt has brought a key for its hub: with it all of theirs that wait for one go on."""
        uplink = self.uplink_of(attempt)
        for one in self.node:
            if one.pass_.stuck and self.uplink_of(one) is uplink:
                one.pass_ = one.pass_._replace(key=key)
                if uplink is not None:
                    uplink.schedule.hasten()
                self.offer(one)

    def save(self, attempt: Attempt, *, at_most_every: float = 0.0) -> None:
        """Write an attempt's progress, unless that was done just now."""
        now = trio.current_time()
        if now - self._saved.get(attempt.id, -1e9) >= at_most_every:
            self._saved[attempt.id] = now
            with suppress(OSError):
                disk.write_progress(self._notes(attempt), progress_of(attempt))

    def _notes(self, attempt: Attempt) -> str:
        """Where an attempt's progress goes: an adopted folder is only read until its run is over."""
        if not attempt.adopted or attempt.over:
            return attempt.directory
        return disk.make_notes(self.root, attempt.id)

    def _progress(self, attempt_id: str, directory: str, *, own: bool) -> dict[str, Any]:
        progress = disk.read_progress(directory)
        return progress if own or progress else disk.read_progress(disk.notes_folder(self.root, attempt_id))

    def settle_all(self) -> None:
        """The last thing: everything read is durable, the durable marks say so, and progress is saved."""
        for reader in self.readers.values():
            with suppress(OSError):
                # A mark is written by the sync that follows the one it speaks of.
                for _ in range(2):
                    if reader.dirty and reader.blocked is None:
                        reader.durable_seq = max(reader.durable_seq, reader.sync())
        for attempt in self.node:
            self.save(attempt)

    def prune(self, attempt: Attempt, writer: int) -> None:
        """Delete whole segments that the hub has; what they amounted to is saved before."""
        reader = self.readers.get((attempt.id, writer))
        old = reader.prune() if reader and reader.own else []
        if not old:
            return
        attempt.rebase(writer, old[-1] + 1)
        self.save(attempt)
        for index in old:
            segments.delete(attempt.directory, writer, index)

    def alone(self, attempt: Attempt) -> bool:
        """Whether nobody else reads this attempt's folder, so that it may be deleted."""
        lease = self._leases.get(attempt.id)
        return lease is None or lease.alone()

    def forget(self, attempt: Attempt) -> None:
        """Let an attempt go: descriptors closed, nothing scheduled; its folder is the caller's to delete."""
        self.lost += attempt.lost
        if attempt.id in self._leases:
            self._leases.pop(attempt.id).close()
            disk.drop_notes(self.root, attempt.id)
        for reader in self.readers_of(attempt):
            reader.close()
            self._full.pop(reader, None)
            del self.readers[attempt.id, reader.writer]
        uplink = self.uplink_of(attempt)
        if uplink is not None:
            uplink.schedule.forget(attempt.id)
        self.node.drop(attempt.id)
        self.listeners.pop(attempt.id, None)
        self._saved.pop(attempt.id, None)
        tokens.drop(self.root, attempt.file.uid, attempt.id)

    def make_room(self, uid: int, size: int) -> str | None:
        """Room for a snapshot of `size` bytes, if need be at the cost of snapshots that the hub has and that are
        kept here only for a quick restore, the oldest first. Why there is none, or None.
        """
        refusal = quota.refuse_blob(self.room(uid), size)
        for attempt in self.node:
            if refusal is None:
                break
            if attempt.file.uid == uid and attempt.complete and not attempt.adopted:
                self.forget(attempt)
                disk.delete_attempt(attempt.directory)
                refusal = quota.refuse_blob(self.room(uid), size)
        return refusal

    def room(self, uid: int) -> quota.Room:
        """What a user holds and may hold, counted now."""
        used = [disk.usage(one.directory) for one in self.node if one.file.uid == uid and not one.adopted]
        size, free = files.capacity(self.root)
        return quota.Room(
            rows=sum(one.rows for one in used),
            blobs=sum(one.blobs for one in used),
            rows_cap=self.config.rows_quota,
            blobs_cap=self._blobs_cap,
            free=free,
            size=size,
            floor=self.config.free_floor,
        )

    def remember(self, uid: int, memory: Memory) -> None:
        """Keep what is known of a run; durable on return. A disk that fails costs the memory, not the daemon."""
        try:
            self.journal.remember(uid, memory)
        except OSError as error:
            self.warn(f"the journal cannot be written: {error}", "journal", uid)
        else:
            self.resolve("journal", uid)

    def spare(self, reader: Reader, segment: int) -> tuple[Spare, list[int]]:
        """The segment ahead of a writer, made now unless it exists, and its descriptor; or the word that the
        quota is used up. The descriptor is the caller's to close.
        """
        attempt = reader.attempt
        self._full.pop(reader, None)
        try:
            return Spare(segment, limits.SEGMENT_SIZE), [os.dup(reader.descriptor(segment))]
        except FileNotFoundError:
            refusal = quota.refuse_segment(self.room(attempt.file.uid), limits.SEGMENT_SIZE)
        try:
            if refusal is None:
                fd = segments.create(attempt.directory, attempt.id, reader.writer, segment)
                reader.keep(segment, fd)
                return Spare(segment, limits.SEGMENT_SIZE), [os.dup(fd)]
        except OSError as error:
            refusal = f"the spool cannot make a segment: {error}"
        run = "/".join(attempt.run)
        self._full[reader] = f"{run}: no further rows are taken when its present segment is full: {refusal}"
        return Spare(segment, 0, full=True), []

    def roll(self, reader: Reader) -> None:
        """Ask a writer to leave its present segment."""
        for listener in self.listeners.get(reader.attempt.id, []):
            message, fds = self.spare(reader, reader.tail.segment + 1)
            listener(message._replace(roll=bool(fds)), 0, fds)

    def supersede(self, attempt: Attempt) -> None:
        """The hub's head is elsewhere: the attempt's processes are told, once."""
        if not attempt.superseded:
            attempt.superseded = True
            self.tell(attempt, SUPERSEDED)

    def tell(self, attempt: Attempt, notice: Notice) -> None:
        """Say something to the processes that log into an attempt."""
        for listener in self.listeners.get(attempt.id, []):
            listener(notice, 0, [])

    def complaints(self, uid: int, *, all_users: bool = False) -> list[str]:
        """What a user should know: what went wrong, and what is full at this moment."""
        full = [text for one, text in self._full.items() if all_users or one.attempt.file.uid == uid]
        return [*self._complaints.of(uid, all_users=all_users), *full]

    def warn(self, text: str, about: str = "", uid: int | None = EVERYBODY) -> None:
        """Something that `uid` should know. What is said `about` the same thing replaces what was said before."""
        self._complaints.warn(uid, text, about)

    def resolve(self, about: str, uid: int | None = EVERYBODY) -> None:
        """That is no longer so."""
        self._complaints.resolve(uid, about)

    def drop_deleted(self, attempt: Attempt, why: str) -> None:
        """Its run was deleted at the hub: it is held, and shown, until somebody purges it."""
        attempt.deleted = why
        self.journal.forget(attempt.file.uid, attempt.run)
        self.warn(f"{why} This node holds what it has not sent.", f"deleted {attempt.id}", attempt.file.uid)
        self.progress.moved()


def _streams(attempt: Attempt) -> Iterator[Stream]:
    """What of an attempt is to be sent."""
    if attempt.deleted:
        return
    if not attempt.registered or attempt.unreported() or attempt.pass_.waiting:
        yield Stream(Priority.STATE, attempt.id)
    if attempt.registered and not attempt.pass_.waiting:
        for writer, tail in attempt.tails.items():
            if tail.extents:
                yield Stream(Priority.ROWS, attempt.id, writer)
        if attempt.pending_files():
            yield Stream(Priority.FILES, attempt.id)
