"""One attempt as its keeper knows it: writers, positions, facts, files, and what the hub still has to hear.

All of it can be read again from the attempt's folder; `progress` (`respoold.core.progress`) only saves the hub from
hearing it twice.
"""

from __future__ import annotations

from typing import NamedTuple

from respool.wire import codec
from respool.wire.attempt import AttemptFile, Request, WriterFile, parse_request
from respool.wire.errors import WireError
from respool.wire.frames import NO_STEP, Frame, Kind
from respool.wire.view import View
from respoold.core.checkpoints import Checkpoints, Share
from respoold.core.file_version import Blob, FileVersion
from respoold.core.handover import is_token
from respoold.core.hubapi import StateReport
from respoold.core.lineage import Link
from respoold.core.states import Facts, State, state_of
from respoold.core.tail import Extent, Start, Tail
from respoold.core.writer import End, Writer, counted, paper_of, together


class Pass(NamedTuple):
    """What an attempt shows to its hub. `own`: it began with a key of its user's, and never uses the daemon's;
    `key` is that one while it is not yet exchanged for a `token`, and is never written down.
    """

    own: bool = False
    token: str = ""
    key: str = ""

    @property
    def waiting(self) -> bool:
        """Whether the key is still to be exchanged."""
        return self.own and not self.token

    @property
    def stuck(self) -> bool:
        """Whether nobody here has that key any more: its user must bring it."""
        return self.waiting and not self.key


class Told(NamedTuple):
    """A preemption notice as the hub knows it. `deadline` in seconds since the epoch, 0 for unknown."""

    source: str
    deadline: float = 0.0


class Report(NamedTuple):
    """What the hub has to hear. `key` names it among those of its attempt."""

    key: str
    said: StateReport


class Attempt:
    """Mutable, pure. `directory` is where it lies; `adopted` when a process without a daemon made it there.
    `hub` is where it goes, `home` the run id that it has there, `incarnation` that hub's; `notices` are the
    preemption notices that stand, `told` the one that the hub knows of. `no_room`: why the hub takes none of its files
    and checkpoints at this moment, and what to do about it.
    """

    def __init__(self, file: AttemptFile, directory: str, *, adopted: bool = False) -> None:
        self.file = file
        self.id = file.attempt_id
        self.request: Request = parse_request(file.request)
        self.directory = directory
        self.adopted = adopted
        self.writers: dict[int, Writer] = {}
        self.tails: dict[int, Tail] = {}
        self.acked: dict[int, int] = {}
        self.unread: set[int] = set()
        self.base: dict[int, Start] = {}
        self.files: dict[str, FileVersion] = {}
        self.checkpoints = Checkpoints()
        self.registered = not file.offline
        self.number = file.number
        self.entity = file.entity
        self.hub = ""
        self.home = self.request.run_id
        self.incarnation = ""
        self.superseded = False
        self.shelved = False
        self.reported: set[str] = set()
        self.notices: dict[str, float] = {}
        self.told: Told | None = None
        self.held: str | None = None
        self.no_room: tuple[str, str] | None = None
        self.deleted: str | None = None
        self.pass_ = Pass()
        self.warnings: list[str] = []
        self.take_writer(paper_of(self.request))

    @property
    def run(self) -> tuple[str, str]:
        return self.request.project, self.request.run_id

    def elsewhere(self, node: str, slot: int | None = None) -> bool:
        """Whether a writer's process belongs to another node, so that nobody here can tell if it lives; without
        `slot`, whether all of them do.
        """
        chosen = self.writers.values() if slot is None else [self.writers[slot]]
        return self.adopted and all((one.paper.node or self.request.node) != node for one in chosen)

    def take_writer(self, paper: WriterFile) -> Writer:
        """The writer that a paper speaks of, from now on one of this attempt's."""
        return self.writers.setdefault(paper.writer, Writer(paper))

    def writer_of(self, incarnation: str) -> Writer | None:
        """The slot that a call of init() was given before."""
        return next((one for one in self.writers.values() if one.paper.incarnation == incarnation), None)

    def end_of(self, slot: int) -> End:
        """How a writer stands."""
        writer, view, seen = self.writers[slot], self._ended(slot), self._seen(slot)
        end = End(slot, writer.paper.joined, writer.alive, writer.gone)
        if seen is not None:
            return end._replace(ended=True, exit_code=seen)
        if view is None:
            return end
        return end._replace(ended=True, exit_code=view.exit_code, explicit=view.explicit)

    def doubtful(self, slot: int) -> bool:
        """Whether a writer's own record does not say what its process exited with: the interpreter forgets some
        codes, and os._exit() all.
        """
        view = self._ended(slot)
        return view is None or (view.at_exit and view.exit_code == 0)

    def _ended(self, slot: int) -> View | None:
        tail = self.tails.get(slot)
        return tail.facts if tail is not None and tail.facts.state == "ended" else None

    def _seen(self, slot: int) -> int | None:
        """The exit code that others saw, where their word counts."""
        writer, view = self.writers[slot], self._ended(slot)
        if writer.exit_code is not None:
            return None if view is not None and view.explicit else writer.exit_code
        return writer.status if self.doubtful(slot) else None

    @property
    def alive(self) -> bool:
        """Whether any of its processes runs."""
        return any(writer.alive for writer in self.writers.values())

    @property
    def writing(self) -> list[Writer]:
        """Those whose life is the attempt's and who may still write: they run, and did not record their end."""
        those = counted(map(self.end_of, self.writers))
        return [self.writers[end.slot] for end in those if end.alive and not end.ended]

    @property
    def facts(self) -> Facts:
        marked = any(tail.facts.preempting for tail in self.tails.values())
        watched = self.alive or any(writer.gone for writer in self.writers.values())
        return together(map(self.end_of, self.writers))._replace(
            marked=marked,
            noticed=bool(self.notices or self._caught),
            superseded=self.superseded,
            attended=not self.adopted or watched,
        )

    @property
    def state(self) -> State:
        return state_of(self.facts)

    @property
    def over(self) -> bool:
        """Nothing more will be written: of each writer the end was recorded, or its process is gone."""
        return all(self.end_of(slot).over for slot in self.writers)

    @property
    def rows(self) -> int:
        return sum(tail.facts.rows for tail in self.tails.values())

    @property
    def lost(self) -> int:
        return sum(tail.facts.lost for tail in self.tails.values())

    @property
    def last_step(self) -> int:
        return max((tail.facts.last_step for tail in self.tails.values()), default=NO_STEP)

    @property
    def link(self) -> Link:
        """This attempt for the fold, by those who did not come by join=True."""
        views = {slot: tail.facts for slot, tail in self.tails.items() if slot in self.trainers}
        view = views.get(min(self.trainers, default=-1), View())
        last = max((one.last_step for one in views.values()), default=NO_STEP)
        return Link(self.id, self.file.parent, tuple(view.first_steps), last, view.cut)

    @property
    def trainers(self) -> set[int]:
        """The slots of this node whose rows decide where the run goes on."""
        return {slot for slot, one in self.writers.items() if not one.paper.joined}

    @property
    def moved(self) -> bool:
        """Whether it is more than a candidate: it logged a row, or rewound."""
        return self.rows > 0 or any(tail.facts.cut is not None for tail in self.tails.values())

    def tail(self, writer: int) -> Tail:
        """The tail of a writer, starting where its deleted segments ended."""
        if writer not in self.tails:
            base = self.base.get(writer, Start(0, 0, {}))
            tail = Tail(writer, base.segment, base.seq)
            tail.starts[base.segment] = base
            tail.facts.take_facts(base.facts)
            self.tails[writer] = tail
        return self.tails[writer]

    def note(self, writer: int, frames: list[Frame], now: float) -> list[str]:
        """Take newly read frames; says which of `file` and `state` were among them."""
        self.take_writer(WriterFile(writer, ""))  # whose paper is missing is a writer all the same
        events: list[str] = []
        for frame in frames:
            if frame.kind in {Kind.FILE, Kind.CHECKPOINT} and self._handed_over(writer, frame, now):
                events.append("file")
            elif frame.kind == Kind.STATE:
                events.append("state")
        return events

    def acknowledge(self, writer: int, next_seq: int) -> None:
        """The hub has every record of `writer` before `next_seq`."""
        self.acked[writer] = max(self.acked.get(writer, 0), next_seq)
        self.tail(writer).acknowledge(self.acked[writer])

    def pending(self, writer: int) -> list[Extent]:
        """What the hub does not have yet, oldest first."""
        tail = self.tail(writer)
        tail.acknowledge(self.acked.get(writer, 0))
        return list(tail.extents)

    def begins(self, writer: int) -> int:
        """The seq of a writer's first record that still lies here."""
        return self.base[writer].seq if writer in self.base else 0

    def begin_again(self, writer: int, next_seq: int, now: float) -> Tail:
        """Read again what is left of a writer's segments: the hub has the records before `next_seq` only. A LOSS
        stands for what is not left.
        """
        self.tails.pop(writer, None)
        self.acked[writer] = next_seq
        tail = self.tail(writer)
        if tail.next_seq > next_seq:
            tail.insert_loss(next_seq, tail.next_seq, "the hub and this node lost them", now, counted=False)
        return tail

    def forget_hub(self, there: set[str]) -> None:
        """The hub may know nothing of this attempt: it is told everything, and sent those blobs that are `there`."""
        self.registered = self.shelved = False
        self.reported.clear()
        self.told = None
        for version in list(self.files.values()):
            if version.state is Blob.SENT and version.token in there:
                self.files[version.token] = version._replace(state=Blob.PENDING)
        self.checkpoints.send_again(there)

    def change_hub(self, hub: str, there: set[str], now: float) -> None:
        """It goes to another hub than before, which has nothing of it and calls it what it was called here."""
        self.hub, self.incarnation = hub, ""
        self.home, self.entity, self.number = self.request.run_id, self.request.entity, None
        self.superseded = False
        self.forget_hub(there)
        for writer in {*self.acked, *self.tails}:
            self.begin_again(writer, 0, now)

    def released(self, writer: int) -> int:
        """Segments of `writer` below this index hold nothing that anyone still needs."""
        extents = self.pending(writer)
        return extents[0].segment if extents else self.tail(writer).segment

    def rebase(self, writer: int, index: int) -> None:
        """Segments below `index` are about to be deleted: remember what they amounted to."""
        starts = self.tail(writer).starts
        self.base[writer] = starts[min(one for one in starts if one >= index)]

    def pending_records(self) -> int:
        return sum(extent.records for writer in self.tails for extent in self.pending(writer))

    def pending_files(self) -> list[FileVersion | Share]:
        """Versions and checkpoints to upload, each the newest first."""
        return [*self.pending_versions(), *self.checkpoints.pending]

    def pending_versions(self) -> list[FileVersion]:
        """Versions of files to upload, the newest first."""
        waiting = [version for version in self.files.values() if version.state is Blob.PENDING]
        return sorted(waiting, key=lambda version: -version.seq)

    @property
    def named(self) -> set[str]:
        """The blobs that its records name and that are still of use here."""
        kept = {Blob.PENDING, Blob.SENT}
        versions = {token for token, version in self.files.items() if version.state in kept}
        return versions | self.checkpoints.tokens

    @property
    def notice(self) -> Told | None:
        """Of the preemption notices that stand the most urgent one; an unknown deadline is the least so. What a
        process caught itself, a signal, stands for good.
        """
        notices = {**dict.fromkeys(self._caught, 0.0), **self.notices}
        known = ((deadline or float("inf"), source) for source, deadline in notices.items())
        first = min(known, default=None)
        return Told(first[1], notices[first[1]]) if first else None

    @property
    def _caught(self) -> list[str]:
        return [tail.facts.noticed for tail in self.tails.values() if tail.facts.noticed]

    def unreported(self) -> list[Report]:
        """Facts that the hub has not heard yet, in the order to tell them."""
        slots = sorted(slot for slot, writer in self.writers.items() if not writer.daemons)
        found = [report for slot in slots for report in self._said_of(slot)]
        return [*self._notice_change(), *(one for one in found if one.key not in self.reported)]

    def note_told(self, report: Report) -> None:
        """The hub has heard it."""
        match report.said.event:
            case "notice":
                self.told = Told(report.said.source, report.said.deadline)
            case "withdrawn":
                self.told = None
            case _:
                self.reported.add(report.key)

    def _notice_change(self) -> list[Report]:
        now = self.notice
        if now == self.told:
            return []
        if now is not None:
            return [Report("notice", StateReport("notice", source=now.source, deadline=now.deadline))]
        source = self.told.source if self.told else ""
        return [Report("withdrawn", StateReport("withdrawn", source=source))]

    def _said_of(self, slot: int) -> list[Report]:
        tail, end = self.tails.get(slot), self.end_of(slot)
        said = [StateReport("preempting", writer=slot)] if tail and tail.facts.preempting else []
        if end.ended:
            said.append(StateReport("ended", end.exit_code, writer=slot, explicit=end.explicit))
            if self._seen(slot) is not None and f"{slot} ended" in self.reported:
                return [*self._corrected(slot, end), *(Report(f"{slot} {one.event}", one) for one in said)]
        if end.gone:
            said.append(StateReport("gone", writer=slot))
        return [Report(f"{slot} {one.event}", one) for one in said]

    def _corrected(self, slot: int, end: End) -> list[Report]:
        """Another end than was reported, or stands in the records: it is told when the hub has those."""
        if slot in self.tails and self.pending(slot):
            return []
        return [
            Report(f"{slot} left", StateReport("ended", end.exit_code, writer=slot, explicit=end.explicit))
        ]

    @property
    def complete(self) -> bool:
        """Over, and the hub has all of it; never while the segments of a writer are `unread`."""
        settled = self.over and self.registered and not self.unreported() and not self.pending_files()
        return settled and not self.unread and not any(tail.extents for tail in self.tails.values())

    def _handed_over(self, writer: int, frame: Frame, now: float) -> bool:
        if frame.kind == Kind.CHECKPOINT:
            return self.checkpoints.note(writer, frame, now)
        return self._file(writer, frame, now)

    def _file(self, writer: int, frame: Frame, now: float) -> bool:
        try:
            value = codec.unpack_map(frame.payload)
        except WireError:
            return False
        token, name, size = value.get("blob"), value.get("name"), value.get("size")
        if not isinstance(token, str) or not isinstance(name, str) or not isinstance(size, int):
            return False
        if token in self.files or not is_token(token):
            return False
        for other in list(self.files.values()):
            if other.name == name and other.state is Blob.PENDING:
                self.files[other.token] = other._replace(state=Blob.SKIPPED)
        how = value.get("how")
        made = FileVersion(token, name, size, writer, frame.seq, frame.step, frame.time, at=now)
        self.files[token] = made._replace(how=how if isinstance(how, str) else "")
        return True
