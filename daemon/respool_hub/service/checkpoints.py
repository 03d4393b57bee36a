"""Checkpoints: committing a rank's share, which of them a lineage shows, and what retention lets go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from respool.wire.limits import MAX_CHECKPOINT_STEP
from respool.wire.retention import Candidate, dropped, policy_of
from respool.wire.shares import Place, is_whole, of_one_save, told_by
from respool_hub.service import names
from respool_hub.service.access import Caller, own_attempt
from respool_hub.service.allowance import within
from respool_hub.service.batch import MAX_SEQ
from respool_hub.service.fold import finite
from respool_hub.service.refusal import refuse
from respool_hub.service.story import Story, tell
from respool_hub.store.ports import Reader, Transaction
from respool_hub.store.rows import CheckpointRow, PartRow, RunRow
from respoold.core.hubapi import CheckpointCommit, CheckpointTaken

MAX_PARTS = 1 << 16
MAX_WORLD = 1 << 16


class Checkpoint(NamedTuple):
    """One checkpoint of one attempt: the shares of one save, by rank."""

    attempt_id: str
    name: str
    step: int
    shares: dict[int, CheckpointRow]

    @property
    def newest(self) -> CheckpointRow:
        return max(self.shares.values(), key=lambda share: (share.seq, share.rank))

    @property
    def metadata(self) -> dict[str, Any]:
        return told_by([self.shares[rank].metadata for rank in sorted(self.shares)])

    @property
    def pinned(self) -> bool:
        return any(share.pinned for share in self.shares.values())

    @property
    def score(self) -> float | None:
        """The lowest rank's that has one: often only the first logs."""
        said = [self.shares[rank].score for rank in sorted(self.shares)]
        return next((score for score in said if score is not None), None)

    @property
    def keep(self) -> dict[str, Any]:
        """The policy of the lowest rank."""
        return self.shares[min(self.shares)].keep

    @property
    def logged(self) -> int:
        """The last row's step when it was saved; its own where nobody said."""
        said = [share.logged for share in self.shares.values() if share.logged is not None]
        return max(said, default=self.step)

    @property
    def complete(self) -> bool:
        """Whether every rank of its world has committed a share of the same world."""
        return is_whole(map(_place, self.shares.values()))


def commit(
    tx: Transaction, caller: Caller, attempt_id: str, asked: CheckpointCommit, cap: int = 0
) -> CheckpointTaken:
    """Keep a share whose chunks are stored, and let go what retention no longer needs. Twice is as once. Raises
    RefusalError "quota" when its project would hold more than `cap` bytes then; 0: it may.
    """
    _, run = own_attempt(tx, caller, attempt_id)
    _check(asked)
    size = sum(int(part["size"]) for part in asked.parts)
    with within(tx, run, cap, f"checkpoint {asked.name!r} at step {asked.step}", size):
        return _commit(tx, run, attempt_id, asked)


def _commit(tx: Transaction, run: RunRow, attempt_id: str, asked: CheckpointCommit) -> CheckpointTaken:
    name = names.file(asked.name)
    where = (attempt_id, asked.writer, asked.seq)
    row = CheckpointRow(
        *where, name, asked.step, asked.rank, asked.world, finite(asked.time) or 0.0,
        asked.metadata, asked.keep, None if asked.score is None else finite(asked.score), asked.pinned,
        logged=asked.logged, repeat=asked.repeat,
    )  # fmt: skip
    parts = [
        PartRow(*where, index, str(part["name"]), str(part["digest"]), int(part["size"]))
        for index, part in enumerate(asked.parts)
    ]
    tx.add_checkpoint(row, parts)
    story = tell(tx, run.id, run.head)
    found = gather(tx.checkpoints(run.id))
    mine = found.get((attempt_id, name, asked.step))
    if mine is None or not mine.complete:
        # What is not whole outlives nothing, and the policy is the first rank's, which may still be to come.
        return CheckpointTaken(complete=False)
    return CheckpointTaken(complete=True, expired=_let_go(tx, story, found.values(), name, mine.keep))


def gather(rows: Iterable[CheckpointRow]) -> dict[tuple[str, str, int], Checkpoint]:
    """The checkpoints that these shares make, those that were dropped left out."""
    found: dict[tuple[str, str, int], list[CheckpointRow]] = {}
    for row in sorted(rows, key=lambda row: row.seq):
        if not row.dropped:
            found.setdefault((row.attempt_id, row.name, row.step), []).append(row)
    chosen = {key: of_one_save(shares, _place) for key, shares in found.items()}
    return {key: Checkpoint(*key, {one.rank: one for one in shares}) for key, shares in chosen.items()}


def _place(row: CheckpointRow) -> Place:
    return Place(row.repeat, row.rank, row.world)


def shown(found: Iterable[Checkpoint], story: Story) -> list[Checkpoint]:
    """Those that the lineage shows, newest first: a cut hides its ancestors' later ones, as it does rows. Of two
    of one name and step the younger attempt's counts.
    """
    ages = {visible.attempt_id: age for age, visible in enumerate(story.chain)}
    best: dict[tuple[str, int], Checkpoint] = {}
    for one in found:
        if one.attempt_id not in ages:
            continue
        age = ages[one.attempt_id]
        limit = story.limit(story.chain[age], one.newest.writer)
        known = best.get((one.name, one.step))
        older = known is not None and ages[known.attempt_id] > age
        if not older and (limit is None or one.logged < limit):
            best[one.name, one.step] = one
    return sorted(best.values(), key=lambda one: (ages[one.attempt_id], one.newest.seq), reverse=True)


def listed(reader: Reader, run: int, story: Story, *, every: bool = False) -> list[dict[str, Any]]:
    """The checkpoints that the lineage shows, or all that are kept, newest first, as plain values and with
    their metadata as they were saved.
    """
    parts: dict[tuple[str, int, int], list[PartRow]] = {}
    for part in reader.parts(run):
        parts.setdefault(part[:3], []).append(part)
    found = gather(reader.checkpoints(run)).values()
    chosen = sorted(found, key=lambda one: one.newest.time, reverse=True) if every else shown(found, story)
    return [_plain(one, story, parts) for one in chosen]


def _plain(one: Checkpoint, story: Story, parts: dict[tuple[str, int, int], list[PartRow]]) -> dict[str, Any]:
    newest = one.newest
    mine = [(rank, part) for rank, share in sorted(one.shares.items()) for part in parts.get(share[:3], ())]
    return {
        "name": one.name,
        "step": one.step,
        "logged_step": one.logged,
        "time": newest.time,
        "attempt_id": one.attempt_id,
        "number": story.attempts[one.attempt_id].number,
        "metadata": one.metadata,
        "world": newest.world,
        "ranks": sorted(one.shares),
        "complete": one.complete,
        "pinned": one.pinned,
        "score": one.score,
        "size": sum(part.size for _, part in mine),
        "source": "hub",
        "parts": [
            {"rank": rank, "name": part.name, "size": part.size, "digest": part.digest} for rank, part in mine
        ],
    }


def _let_go(
    tx: Transaction, story: Story, found: Iterable[Checkpoint], name: str, keep: dict[str, Any]
) -> list[dict[str, Any]]:
    """Apply the policy of the newest share to what the lineage shows. What a cut or a branch hides is nobody's
    rubbish: it may be shown again, so the policy holds there too, attempt by attempt.
    """
    policy = policy_of(keep)
    named = [one for one in found if one.name == name]
    visible = shown(named, story)
    hidden = [one for one in named if one not in visible]
    lists = [
        visible,
        *([one for one in hidden if one.attempt_id == key] for key in {h.attempt_id for h in hidden}),
    ]
    gone: list[Checkpoint] = []
    for each in lists:
        newest = sorted(each, key=lambda one: one.newest.seq, reverse=True) if each is not visible else each
        gone += dropped(policy, [_candidate(one) for one in newest])
    for one in gone:
        tx.mark_checkpoint(one.attempt_id, one.name, one.step, dropped=True, pinned=None)
    return [{"name": one.name, "step": one.step, "attempt_id": one.attempt_id} for one in gone]


def _candidate(one: Checkpoint) -> Candidate:
    return Candidate(one, one.step, one.complete, one.pinned, one.score)


def mark(
    tx: Transaction, run: int, name: str, step: int, *, dropped: bool | None, pinned: bool | None
) -> int:
    """Pin a checkpoint, or let it go, in every attempt that has it; how many attempts. Raises RefusalError
    "missing" when there is none, and "conflict" for the only complete one, which is never let go.
    """
    found = list(gather(tx.checkpoints(run)).values())
    mine = [one for one in found if (one.name, one.step) == (name, step)]
    if not mine:
        raise refuse("missing", f"There is no checkpoint {name!r} at step {step}.", "See `respool show RUN`.")
    others = [one for one in found if one.complete and one not in mine]
    if dropped and not others and any(one.complete for one in mine):
        said = f"Checkpoint {name!r} at step {step} is the run's only complete one."
        raise refuse("conflict", said, "Save another first, or delete the run.")
    for one in mine:
        tx.mark_checkpoint(one.attempt_id, name, step, dropped=dropped, pinned=pinned)
    return len(mine)


def _check(asked: CheckpointCommit) -> None:
    numbers = (
        0 <= asked.seq < MAX_SEQ and 0 <= asked.writer < MAX_SEQ and abs(asked.step) <= MAX_CHECKPOINT_STEP
    )
    if not numbers or not 0 <= asked.rank < asked.world <= MAX_WORLD:
        said = (
            f"Checkpoint {asked.name[:80]!r} has a number out of range (rank {asked.rank} of {asked.world})."
        )
        raise refuse("bad-request", said, "Send the record's own.")
    if not 0 < len(asked.parts) <= MAX_PARTS:
        said = f"Checkpoint {asked.name[:80]!r} has {len(asked.parts)} parts."
        raise refuse("bad-request", said, f"Send 1 to {MAX_PARTS}.")
