"""Checkpoints that were saved: which there are, and their bytes, from this node's spool or from the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, BinaryIO, NamedTuple

from respool import fetching, local_checkpoints
from respool.errors import CommError, UsageError
from respool.keeper import Keeper
from respool.link import close_all
from respool.saving import normal_name, own_file_name
from respool.wire.file_messages import Checkpoints, CheckpointsAsked, Restored, RestorePart
from respool.wire.messages import StatusRequest
from respool.world import place_in_world

LIST_SECONDS = 30.0
SECONDS = 3600.0
GREETING_SECONDS = 5.0

Fetch = Callable[[str, int], int]
"""(part, rank) -> a descriptor of its bytes, read-only, which the caller closes."""


class SavedPart(NamedTuple):
    """One file of a checkpoint; the checkpoint's own has the name ""."""

    rank: int
    name: str
    size: int


class SavedCheckpoint:
    """One checkpoint. `step` as it was saved, `logged_step`: the last row's by then, `metadata`, `time` (seconds
    since the epoch), `size` in bytes, `parts`, `world`: how many ranks wrote it, `complete`: whether all of them
    did, `attempt_id`, `attempt`: its number, `source`.
    """

    def __init__(self, told: dict[str, Any], fetch: Fetch, folder: str) -> None:
        self.name = str(told.get("name", ""))
        self.step = int(told.get("step") or 0)
        self.logged_step = int(told.get("logged_step") or 0)
        self.metadata: dict[str, Any] = dict(told.get("metadata") or {})
        self.time = float(told.get("time") or 0.0)
        self.world = int(told.get("world") or 1)
        self.complete = bool(told.get("complete", True))
        self.pinned = bool(told.get("pinned"))
        self.attempt_id = str(told.get("attempt_id", ""))
        self.attempt: int | None = told.get("number")
        self.source = str(told.get("source", ""))
        self.parts = [SavedPart(one["rank"], one["name"], one["size"]) for one in told.get("parts") or ()]
        self._fetch = fetch
        self._folder = folder

    @property
    def size(self) -> int:
        """Bytes of all parts together."""
        return sum(part.size for part in self.parts)

    def open(self, part: str = "", rank: int | None = None, world: int | None = None) -> BinaryIO:
        """One part, opened for reading bytes, whole and checked. `rank`: whose, of a sharded one; this process's
        own unless given. `world`: how many ranks read it; as many as this launch has unless `rank` is given. Raises
        UsageError when another number wrote it, and FileNotFoundError for a part that it has not.
        """
        return os.fdopen(self._descriptor(part, self._rank(rank, world)), "rb")

    def open_all(self, part: str = "") -> list[BinaryIO]:
        """That part of every rank, in the order of ranks, each opened as by `open`: for a world that has shrunk or
        grown and puts the state together itself. Raises FileNotFoundError when a rank has none of that name.
        """
        with ExitStack() as stack:
            files = [stack.enter_context(self.open(part, rank)) for rank in range(self.world)]
            stack.pop_all()
        return files

    def restore(self, folder: str | os.PathLike[str], rank: int | None = None) -> list[str]:
        """Put all parts below `folder`, or only those of one rank; their paths. The checkpoint's own file gets its
        name; those of a sharded one lie in rank-0, rank-1 and so on.
        """
        return [
            self._put(os.fspath(folder), part) for part in self.parts if rank is None or part.rank == rank
        ]

    def _put(self, folder: str, part: SavedPart) -> str:
        beside = [one.name for one in self.parts if one.rank == part.rank]
        name = normal_name(part.name) if part.name else own_file_name(self.name, beside)
        below = os.path.join(f"rank-{part.rank}", name) if self.world > 1 else name
        source = self._descriptor(part.name, part.rank)
        with fetching.place(source, below, folder, self._folder, replace=True) as file:
            return file.name

    def _rank(self, rank: int | None, world: int | None) -> int:
        mine = place_in_world() if rank is None and self.world > 1 else None
        readers = world if world is not None or mine is None else mine[1]
        if readers not in {None, self.world}:
            raise UsageError(
                f"checkpoint {self.name} at step {self.step} was written by {self.world} ranks and is read by "
                f"{readers}. Open all shares with open_all() and put the state together, or start with "
                f"{self.world} ranks."
            )
        if rank is not None or self.world == 1:
            return rank or 0
        said = os.environ.get("RANK", "")
        return mine[0] if mine is not None else int(said) if said.isdigit() else 0

    def _descriptor(self, part: str, rank: int) -> int:
        if not any((one.rank, one.name) == (rank, part) for one in self.parts):
            there = ", ".join(sorted({one.name or "(its own file)" for one in self.parts}))
            raise FileNotFoundError(
                f"checkpoint {self.name} at step {self.step} has no part {part!r} of rank {rank}. It has: {there}."
            )
        return self._fetch(part, rank)

    def __repr__(self) -> str:
        whole = "" if self.complete else ", incomplete"
        return f"<checkpoint {self.name} at step {self.step}, {self.size} bytes, {self.source}{whole}>"


def listed(keeper: Keeper, name: str | None, run: str | None, folder: str) -> list[SavedCheckpoint]:
    """The checkpoints of a run, newest first. Raises CommError when nobody could be asked."""
    tether = keeper.tether
    answer = None if tether is None else tether.ask(CheckpointsAsked(run, name), LIST_SECONDS)
    if tether is not None and answer is not None and isinstance(answer.message, Checkpoints):
        if answer.message.error:
            raise CommError(f"The checkpoints cannot be listed: {answer.message.error.rstrip('.')}.")
        found = answer.message.checkpoints
        return [SavedCheckpoint(one, _from_daemon(keeper, run, one), folder) for one in found]
    local = local_checkpoints.listed(keeper, name, run)
    elsewhere = tether is not None and (run is not None or keeper.attached.resumed)
    if elsewhere and not any(told["complete"] for told, _ in local):
        # "There is none" would be a guess, and the script would begin at the beginning.
        raise CommError(
            "The daemon gave no answer, and this node's spool holds no complete checkpoint of the run; the hub may. "
            "See `respool status`, and ask again when the daemon is back."
        )
    return [SavedCheckpoint(told, fetch, folder) for told, fetch in local]


def _from_daemon(keeper: Keeper, run: str | None, told: dict[str, Any]) -> Fetch:
    def fetch(part: str, rank: int) -> int:
        assert keeper.tether is not None
        asked = RestorePart(told["name"], told["step"], part, rank, run, told.get("attempt_id"))
        # Many gigabytes take long; a daemon that stands still is not waited for.
        standing = keeper.tether.ask(StatusRequest(), GREETING_SECONDS)
        answer = keeper.tether.ask(asked, SECONDS) if standing is not None else None
        if answer is None or not isinstance(answer.message, Restored):
            raise CommError(f"The daemon gave no answer for checkpoint {told['name']}. See `respool status`.")
        if answer.message.error or not answer.fds:
            close_all(answer.fds)
            # To "there is none" a script answers by beginning anew.
            kind = CommError if answer.message.uncertain else FileNotFoundError
            raise kind(f"{answer.message.error or 'nothing came'}.")
        close_all(answer.fds[1:])
        return answer.fds[0]

    return fetch
