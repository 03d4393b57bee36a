"""The checkpoints that an attempt's writers handed over, and how far each got."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from respool.wire import codec
from respool.wire.errors import WireError
from respool.wire.frames import NO_STEP, Frame
from respool.wire.retention import Candidate, dropped, policy_of
from respool.wire.shares import Place, is_whole
from respoold.core.handover import is_token


class Stage(StrEnum):
    """SKIPPED: retention would drop it before it got there. MISSING: its bytes are not what was recorded.
    DROPPED: the hub had it, and retention let it go.
    """

    PENDING = "pending"
    SENT = "sent"
    SKIPPED = "skipped"
    MISSING = "missing"
    DROPPED = "dropped"


class Part(NamedTuple):
    """One file of a share: its name ("" for the checkpoint's own), where it lies, its bytes."""

    name: str
    token: str
    size: int


class Share(NamedTuple):
    """What one rank handed over: one CHECKPOINT record. `logged`: the last row's step by then. `at`: when it was
    noted, on the caller's clock, 0.0 if that was before a restart; `sent`: bytes that the hub has.
    """

    name: str
    step: int
    writer: int
    seq: int
    time: float
    parts: tuple[Part, ...]
    rank: int = 0
    world: int = 1
    metadata: dict[str, Any] = {}
    keep: dict[str, Any] = {}
    score: float | None = None
    pinned: bool = False
    stage: Stage = Stage.PENDING
    at: float = 0.0
    sent: int = 0
    logged: int | None = None
    repeat: int = 0

    @property
    def key(self) -> tuple[int, int]:
        return self.writer, self.seq

    @property
    def place(self) -> Place:
        return Place(self.repeat, self.rank, self.world)

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def here(self) -> bool:
        """Whether its bytes should lie in the spool."""
        return self.stage in {Stage.PENDING, Stage.SENT}


class Checkpoints:
    """The shares of one attempt on this node, by (writer, seq)."""

    def __init__(self) -> None:
        self._shares: dict[tuple[int, int], Share] = {}
        self._refused: set[tuple[int, int]] = set()

    def __iter__(self) -> Iterator[Share]:
        return iter(list(self._shares.values()))

    def note(self, writer: int, frame: Frame, now: float) -> bool:
        """Take a CHECKPOINT record; False for one that is none, or was taken before."""
        share = parse(writer, frame)
        if share is None or share.key in self._shares:
            return False
        self._shares[share.key] = share._replace(at=now)
        return True

    @property
    def pending(self) -> list[Share]:
        """Those that the hub lacks, the newest first: what was handed over last is what a restart needs. Those that
        it refused for what they are come last, for they would keep all others waiting.
        """
        found = [share for share in self.newest_first if share.stage is Stage.PENDING]
        return sorted(found, key=lambda share: share.key in self._refused)

    def refuse(self, share: Share) -> None:
        """The hub will not have it as it is."""
        self._refused.add(share.key)

    @property
    def newest_first(self) -> list[Share]:
        """All of them. They are kept in the order in which they were noted, which no restart changes."""
        return list(self._shares.values())[::-1]

    @property
    def tokens(self) -> set[str]:
        """The blobs that are still needed here."""
        return {part.token for share in self._shares.values() if share.here for part in share.parts}

    def moved(self, share: Share, **changes: Any) -> Share:
        """Note how far a share got; the share as it is now."""
        self._shares[share.key] = found = self._shares[share.key]._replace(**changes)
        return found

    def send_again(self, there: set[str]) -> None:
        """The hub may have lost them: those whose blobs are all `there` are to be sent."""
        for share in self:
            if share.stage is Stage.SENT and there.issuperset(part.token for part in share.parts):
                self.moved(share, stage=Stage.PENDING, sent=0)

    def outlived(self, whole: Callable[[Share], bool]) -> list[Share]:
        """Shares that need not be kept here any more, as far as this node can tell: newer ones of the same name, which
        are `whole`, make retention drop them. A sharded one is whole where all its ranks' shares are; who holds only
        some of them leaves that to the hub's word.
        """
        lists: dict[str, list[list[Share]]] = {}
        for save in saves(share for share in self.newest_first if share.here):
            lists.setdefault(save[0].name, []).append(save)
        return [old for found in lists.values() for each in _outlived(found, whole) for old in each]

    def expire(self, name: str, step: int) -> list[Share]:
        """The hub let this checkpoint go: the shares of it that lie here."""
        return [
            share
            for share in self._shares.values()
            if (share.name, share.step) == (name, step) and share.here
        ]

    def facts(self) -> list[dict[str, Any]]:
        """Plain values that `take_facts` understands."""
        return [share._asdict() | {"parts": [list(part) for part in share.parts]} for share in self]

    def take_facts(self, facts: Any) -> None:
        """Take up what `facts` said, but for `at`: that clock was another process's. Raises TypeError, ValueError or
        KeyError for anything else.
        """
        for values in facts or ():
            parts, stage = tuple(Part(*part) for part in values["parts"]), Stage(values["stage"])
            share = Share(**{**values, "parts": parts, "stage": stage, "at": 0.0})
            self._shares[share.key] = share


def is_later_save(local: dict[str, Any], remote: dict[str, Any]) -> bool:
    """Whether what waits here is a later save of a step than the one that the hub shows: each has the time of its
    record. What went there already, so that only the answer was lost, is the same one.
    """
    return bool(local.get("waiting")) and remote.get("time") not in {None, local.get("time")}


def parse(writer: int, frame: Frame) -> Share | None:
    """The share that a CHECKPOINT record describes; None when it describes none."""
    try:
        value = codec.unpack_map(frame.payload)
        parts = tuple(_part(part) for part in value["parts"])
        rank, world = value.get("rank", 0), value.get("world", 1)
        named = isinstance(value["name"], str) and type(value["step"]) is int
        if not parts or not named or not 0 <= rank < world:
            return None
    except (WireError, KeyError, TypeError, ValueError):
        return None
    score, metadata, keep = value.get("score"), value.get("metadata"), value.get("keep")
    repeat = value.get("repeat")
    return Share(
        value["name"],
        value["step"],
        writer,
        frame.seq,
        frame.time,
        parts,
        rank,
        world,
        metadata if isinstance(metadata, dict) else {},
        keep if isinstance(keep, dict) else {},
        float(score) if isinstance(score, (int, float)) else None,
        bool(value.get("pinned")),
        logged=None if frame.step == NO_STEP else frame.step,
        repeat=repeat if type(repeat) is int and repeat >= 0 else 0,
    )


def _part(value: Any) -> Part:
    name, token, size = value["name"], value["blob"], value["size"]
    if not isinstance(name, str) or not isinstance(size, int) or size < 0:
        raise TypeError
    if not isinstance(token, str) or not is_token(token):
        raise TypeError
    return Part(name, token, size)


def saves(newest_first: Iterable[Share]) -> list[list[Share]]:
    """The shares that were saved together, each save's by rank; that of one rank is one of its own."""
    found: dict[tuple[Any, ...], list[Share]] = {}
    for share in newest_first:
        alone = share.key if share.world == 1 else ()
        found.setdefault((share.name, share.step, share.repeat, share.world, *alone), []).append(share)
    return [sorted(each, key=lambda share: share.rank) for each in found.values()]


def candidate_of(key: Any, save: list[Share], whole: Callable[[Share], bool]) -> Candidate:
    """What retention is told of shares that were saved together."""
    complete = is_whole(share.place for share in save) and all(whole(share) for share in save)
    score = next((share.score for share in save if share.score is not None), None)
    return Candidate(key, save[0].step, complete, any(share.pinned for share in save), score)


def _outlived(newest_first: list[list[Share]], whole: Callable[[Share], bool]) -> list[list[Share]]:
    policy = policy_of(newest_first[0][0].keep)
    return dropped(policy, [candidate_of(save, save, whole) for save in newest_first])
