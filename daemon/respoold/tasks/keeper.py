"""The keeper: everything the tasks share. It carries out what the core decided about the spool.

Nothing here waits for the hub, nor for the disk: what takes time is done by `rooms`, in threads.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from respool import mounts
from respool.autostart import Surroundings
from respool.lasting import fleeting
from respool.wire import limits
from respool.wire.attempt import Request, WriterFile
from respool.wire.errors import FormatError
from respool.wire.frames import Frame
from respoold.config import Config
from respoold.core.attempt import Attempt, Pass
from respoold.core.complaints import EVERYBODY, Complaints
from respoold.core.decision import overtaken
from respoold.core.memory import Memory
from respoold.core.node import Node
from respoold.core.progress import restore_progress
from respoold.core.schedule import streams_of
from respoold.core.transfers import Transfers
from respoold.core.writer import Writer
from respoold.doorbell import Doorbell, Progress
from respoold.io import blobs, disk, processes, segments, tokens
from respoold.io.journal import Journal
from respoold.io.reader import Reader
from respoold.tasks.notes import Notes
from respoold.tasks.room import Rooms
from respoold.tasks.shelf import Shelf
from respoold.tasks.uplink import Uplink, Uplinks
from respoold.tasks.voices import SUPERSEDED, Voices, gone

if TYPE_CHECKING:
    from respoold.tasks.foresight import Foresight
    from respoold.tasks.handover import Handover
    from respoold.tasks.live_files import LiveFiles
    from respoold.tasks.staging import Staging


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
        self.pidfds: dict[Writer, int | None] = {}
        self.retiring = trio.Lock()
        self.progress = Progress()
        self.voices = Voices()
        self.attaching: dict[tuple[int, str], trio.Lock] = {}
        self.notes = Notes(root)
        self.shelf = Shelf(config, self.node, self.notes)
        self.rooms = Rooms(config, root, self.node, self.shelf, self.forget)
        self.transfers = Transfers()
        self.clients = 0
        self._complaints = Complaints()
        self.handover: Handover | None = None
        self.staging: Staging | None = None
        self.foresight: Foresight | None = None
        self.live: LiveFiles | None = None
        self.forgotten = deque[Attempt](maxlen=64)
        self.lasting = fleeting(config.spool, Surroundings(os.environ)) is None
        self.lost = 0
        self.given_up: list[str] = []
        self.sent = 0
        self.sent_files = 0

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
            file = disk.read_attempt(directory) if own else disk.read_foreign(directory)
        except FormatError as error:
            self.warn(f"{error}; the folder is kept as it is")
            return None
        known = self.node.get(file.attempt_id)
        if known is not None:
            if known.directory == directory:
                self.take_writers(known)
            return None
        attempt = Attempt(file, directory, adopted=not own)
        if not own:
            self.notes.lease(attempt)
        progress, numbers = self.notes.read(file.attempt_id, directory, own=own), segments.indexes(directory)
        for paper in [*disk.read_writers(directory), *(WriterFile(number, "") for number in numbers)]:
            attempt.take_writer(paper)
        restore_progress(attempt, progress)
        self._direct(attempt)
        token = tokens.read(self.root, file.uid, file.attempt_id)
        attempt.pass_ = Pass(own=token is not None, token=token or "")
        for writer in attempt.writers.values():
            writer.alive = not writer.gone and processes.is_alive(writer.paper.process)
        if not (attempt.alive or numbers or progress):
            # Half made or half deleted when somebody was killed: there is nothing in it, nor will be.
            self.notes.forget(attempt)
            if own:
                disk.delete_attempt(directory)
            return None
        self.node.add(attempt)
        for slot in attempt.writers:
            self.open_reader(attempt, slot)
        self.births.ring()
        self.follow.ring()
        return attempt

    def _direct(self, attempt: Attempt) -> None:
        """See where an attempt goes. What another hub had of it, this one has not."""
        uplink = self.uplink_of(attempt)
        if uplink is not None and uplink.url != attempt.hub:
            if attempt.hub:
                attempt.change_hub(uplink.url, set(blobs.tokens(attempt.directory)), trio.current_time())
            attempt.hub = uplink.url

    def take_writers(self, attempt: Attempt) -> None:
        """Look who has come to an attempt that others write into; even to one that is over a late rank may."""
        if attempt.adopted:
            for paper in disk.read_writers(attempt.directory):
                if paper.writer not in attempt.writers:
                    attempt.take_writer(paper).alive = processes.is_alive(paper.process)
                    self.open_reader(attempt, paper.writer)
                    self.births.ring()

    def open_reader(self, attempt: Attempt, slot: int) -> Reader:
        """The reader of a writer; looks at its segments from now on."""
        key = (attempt.id, slot)
        if key not in self.readers:
            reader = Reader(attempt, slot, own=not attempt.adopted)
            writer = attempt.take_writer(WriterFile(slot, ""))
            reader.closing = not writer.alive and not attempt.elsewhere(disk.node_name(), slot)
            reader.follow_until = trio.current_time() + limits.FOLLOW_SECONDS
            reader.spendable = not attempt.adopted or _at_home(attempt)
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
        moved, segment = attempt.moved, reader.tail.segment
        try:
            look = reader.look(now)
        except OSError as error:
            reader.blocked = f"its segments cannot be read: {error}"
            self.warn(f"{'/'.join(attempt.run)}: {reader.blocked}", uid=attempt.file.uid)
            return False
        if look.frames:
            reader.follow_until = now + limits.FOLLOW_SECONDS
            self._note(reader, look.frames, now)
            if attempt.moved and not moved:
                self._overtake(attempt)
        if look.finished or reader.tail.segment != segment:
            self.prune(attempt, reader.writer)
        if look.finished and not attempt.writers[reader.writer].alive:
            self.settled(attempt, reader.writer)
        elif look.frames or look.finished:
            self.offer(attempt)
        return look.more

    def _note(self, reader: Reader, frames: list[Frame], now: float) -> None:
        attempt = reader.attempt
        if "state" in attempt.note(reader.writer, frames, now) and attempt.end_of(reader.writer).ended:
            reader.closing = True

    def _overtake(self, attempt: Attempt) -> None:
        """It has become more than a candidate."""
        for one in overtaken(attempt, self.siblings(attempt.file.uid, attempt.request)):
            self.supersede(one)

    def died(self, attempt: Attempt, slot: int) -> None:
        """A writer's process has ended. Judged only when its segments have been read to their end."""
        attempt.writers[slot].alive = False
        reader = self.readers.get((attempt.id, slot))
        if reader is None or reader.finished:
            self.settled(attempt, slot)
        else:
            reader.closing = True
            self.attend(reader)

    def settled(self, attempt: Attempt, slot: int) -> None:
        """Every record of a writer whose process has ended was read: now it may be judged."""
        attempt.writers[slot].gone = not attempt.elsewhere(disk.node_name(), slot)
        if attempt.complete:
            self.shelf.touched.add(attempt.id)
        self.offer(attempt)

    def offer(self, attempt: Attempt) -> None:
        """Schedule whatever the hub has not got of this attempt, and wake whoever waits for progress."""
        uplink = self.uplink_of(attempt)
        if uplink is not None:
            uplink.schedule.hurry(attempt.id, attempt.notice.deadline if attempt.notice else None)
            for stream in streams_of(attempt):
                uplink.schedule.offer(stream)
            uplink.upload.ring()
        self.progress.moved()

    def written(self) -> None:
        """Something that was staged is a file now: whoever waited for it goes on."""
        for attempt in self.node:
            if attempt.checkpoints.pending:
                self.offer(attempt)

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

    def save(self, attempt: Attempt, *, at_most_every: float = 0.0) -> None:
        """Write an attempt's progress, unless that was done just now."""
        self.notes.save(attempt, at_most_every=at_most_every)

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
        """Put aside whole segments that the hub has."""
        reader = self.readers.get((attempt.id, writer))
        old = reader.prune() if reader and reader.spendable else []
        if old:
            self.shelf.put(attempt, writer, old)

    def forget(self, attempt: Attempt) -> None:
        """Let an attempt go: descriptors closed, nothing scheduled; its folder is the caller's to delete."""
        self.lost += attempt.lost
        self.forgotten.append(attempt)
        self.notes.forget(attempt)
        self.transfers.forget(attempt.id)
        self.resolve(f"room {attempt.id}", attempt.file.uid)
        self.shelf.forget(attempt)
        for reader in self.readers_of(attempt):
            self.drop_reader(reader)
        uplink = self.uplink_of(attempt)
        if uplink is not None:
            uplink.schedule.forget(attempt.id)
        self.node.drop(attempt.id)
        tokens.drop(self.root, attempt.file.uid, attempt.id)

    def drop_reader(self, reader: Reader) -> None:
        """Nobody reads, or tells, this writer any more."""
        reader.close()
        self.rooms.full.pop(reader, None)
        self.readers.pop((reader.attempt.id, reader.writer), None)
        self.voices.forget(reader.attempt.id, reader.writer)

    def remember(self, uid: int, memory: Memory) -> None:
        """Keep what is known of a run; durable on return. A disk that fails costs the memory, not the daemon."""
        try:
            self.journal.remember(uid, memory)
        except OSError as error:
            self.warn(f"the journal cannot be written: {error}", "journal", uid)
        else:
            self.resolve("journal", uid)

    async def roll(self, reader: Reader) -> None:
        """Ask a writer to leave its present segment."""
        for listener in self.voices.of(reader.attempt.id, reader.writer):
            message, fds = await self.rooms.spare(reader, reader.tail.segment + 1)
            listener(message._replace(roll=bool(fds)), 0, fds)

    def supersede(self, attempt: Attempt) -> None:
        """The head is elsewhere: the attempt's processes are told, once, and when they come back."""
        if not attempt.superseded:
            attempt.superseded = True
            self.voices.tell(attempt, SUPERSEDED)
            self.save(attempt)

    def complaints(self, uid: int, *, all_users: bool = False) -> list[str]:
        """What a user should know: what went wrong, and what is full at this moment."""
        full = [text for one, text in self.rooms.full.items() if all_users or one.attempt.file.uid == uid]
        return [*self._complaints.of(uid, all_users=all_users), *full]

    def warn(self, text: str, about: str = "", uid: int | None = EVERYBODY) -> None:
        """Something that `uid` should know. What is said `about` the same thing replaces what was said before."""
        self._complaints.warn(uid, text, about)

    def resolve(self, about: str, uid: int | None = EVERYBODY) -> None:
        """That is no longer so."""
        self._complaints.resolve(uid, about)

    def give_up(self, attempt: Attempt, what: str) -> None:
        """A snapshot is not what its record says: it is never sent, and its owner should know."""
        text = f"{'/'.join(attempt.run)}: {what}"
        self.given_up.append(text)
        self.warn(text, uid=attempt.file.uid)

    def drop_deleted(self, attempt: Attempt, why: str) -> None:
        """Its run was deleted at the hub: it is held, and shown, until somebody purges it."""
        known, attempt.deleted = attempt.deleted, why
        if not known:
            self.voices.tell(attempt, gone(why))
        self.journal.forget(attempt.file.uid, attempt.run)
        self.warn(f"{why} This node holds what it has not sent.", f"deleted {attempt.id}", attempt.file.uid)
        self.progress.moved()


def _at_home(attempt: Attempt) -> bool:
    """Whether a folder that is not the daemon's is this machine's alone: its disk, and all who write there."""
    here = disk.node_name()
    strangers = any(attempt.elsewhere(here, slot) for slot in attempt.writers)
    return not strangers and not mounts.is_shared(mounts.kind_of(attempt.directory))
