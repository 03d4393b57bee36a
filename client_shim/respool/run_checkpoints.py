"""The checkpoints of a run: writing them, keeping the right ones, and getting them back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Any

from respool.notices import shown
from respool.row_codec import step_of
from respool.run_staging import RunStaging
from respool.wire.attempt import BLOBS
from respool.wire.frames import Kind
from respool.wire.limits import MAX_CHECKPOINT_STEP

if TYPE_CHECKING:
    from respool.checkpoint import Checkpoint
    from respool.local_retention import Handed, LocalRetention
    from respool.saved_checkpoint import SavedCheckpoint

DEFAULT = "checkpoint"
_MODES = ("min", "max")


class RunCheckpoints(RunStaging):
    """`checkpoint`, `checkpoint_dir`, `latest_checkpoint`, `checkpoints`, `keep_checkpoints`."""

    def checkpoint(
        self,
        step: int | None = None,
        name: str = DEFAULT,
        metadata: dict[str, Any] | None = None,
        *,
        staged: bool = False,
        sharded: bool = False,
        pinned: bool = False,
        expected: int = 0,
    ) -> Checkpoint:
        """A checkpoint at `step` (the last logged one unless given), as a binary file to write to:

            with run.checkpoint(step) as file:
                torch.save(state, file)

        The bytes go straight into the spool. Leaving the block normally hands it over: from then on it survives
        any kill, and a daemon brings it to the hub; `wait()` says when it is on disk. Leaving it by an exception
        keeps nothing. Further files: `file.part("optimizer.pt")`; all appear together.

        `staged`: what is written is copied into shared memory and training goes on as soon as the block is left;
        it is safe when `wait()` says so, and a next staged one waits for that. `sharded`: every rank of the launch
        writes its share, and the checkpoint exists when all have. `pinned`: retention never drops it. `expected`:
        its bytes, if known: what cannot fit is refused before it begins. Without room nothing is raised unless
        strict: the file swallows what is written, `file.ok` is False, and one line says why.
        """
        from respool.checkpoint import Checkpoint, Description  # noqa: PLC0415 - init() need not pay for it
        from respool.checkpoint_room import CheckpointRoom  # noqa: PLC0415 - as above

        metadata = self._checkpoint_metadata(metadata)
        rank, world = self._own_place() if sharded else (0, 1)
        at = max(self._last_step, 0) if step is None else self._checkpoint_step(step)
        if world > 1 and step is None:
            self._stepless_share(at)
        policy: dict[str, Any] = {
            key: self._keep[key] for key in ("last", "every", "mode") if key in self._keep
        }
        plain = self._checkpoint_name(name)
        repeat = self._repeat(plain, at, rank) if world > 1 else 0
        what = Description(plain, at, metadata, rank, world, policy, self._score(metadata), pinned, repeat)
        if self._off:
            self._unusual({})
        room = None if self._off else CheckpointRoom(self._keeper, self._writer.sync, self._retention())
        expected = _positive(expected)
        strict = bool(self._place.settings.strict)
        arena = self._arena() if staged and room is not None else None
        return Checkpoint(what, room, self._commit_checkpoint, strict=strict, expected=expected, arena=arena)

    def _stepless_share(self, at: int) -> None:
        """Ranks that log nothing know no step, and shares of different steps never make a checkpoint."""
        cause = "checkpoint(sharded=True) was given no step, and only ranks that log know one"
        advice = "Pass the step, the same at every rank"
        self._misused("sharded-step", cause, f"this share is kept as one of step {at}", advice)

    def _repeat(self, *which: Any) -> int:
        """How often the rank began to save that name and step before."""
        with self._lock:
            found = self._saves[which] = self._saves.get(which, -1) + 1
        return found

    def _checkpoint_name(self, name: Any) -> str:
        """The name asked for, or what can be kept of it. Raises UsageError if strict."""
        from respool.saving import possible_name  # noqa: PLC0415 - init() need not pay for it

        plain, good = possible_name(name, DEFAULT)
        if not good:
            cause = f"checkpoint(name={name!r:.40}) is no name of a file in a run"
            self._misused("checkpoint-name", cause, f"it is kept as {plain!r}", "Pass a relative path")
        return plain

    def _checkpoint_metadata(self, metadata: Any) -> dict[str, Any]:
        if isinstance(metadata, Mapping):
            return dict(metadata)
        if metadata is not None:
            cause = f"checkpoint(metadata={metadata!r:.40}) is no dict"
            self._misused("checkpoint-metadata", cause, "it is kept under 'metadata'", "Pass a dict")
        return {} if metadata is None else {"metadata": metadata}

    def _own_place(self) -> tuple[int, int]:
        """(rank, world size) of this process. Raises UsageError where nobody says, if strict."""
        from respool.world import place_in_world  # noqa: PLC0415 - only sharded checkpoints need it

        found = place_in_world()
        if found is not None:
            return found
        rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
        cause = f"checkpoint(sharded=True) needs this process's rank, but RANK is {rank!r} and WORLD_SIZE {world!r}"
        advice = "Initialise torch.distributed, or start with torchrun"
        self._misused("checkpoint-rank", cause, "it is kept as a whole checkpoint of this process", advice)
        return 0, 1

    def _checkpoint_step(self, step: Any) -> int:
        """The step asked for; what is none is not worth losing a checkpoint for. Raises UsageError if strict."""
        at = step_of(step)
        if at is not None and abs(at) <= MAX_CHECKPOINT_STEP:
            return at
        used = max(self._last_step, 0)
        cause = f"checkpoint(step={shown(step, 40)}) is no step"
        self._misused(
            "checkpoint-step", cause, f"it is kept as the checkpoint of step {used}", "Pass a whole number"
        )
        return used

    @contextmanager
    def checkpoint_dir(self, step: int | None = None, name: str = DEFAULT, **options: Any) -> Iterator[str]:
        """As `checkpoint`, for writers that want a folder: yields the path of an empty one. What lies in it at
        the end becomes the checkpoint's parts, all or none, and the folder is removed; one that a killed process
        left is, by the next call on this machine.
        """
        from respool.checkpoint_folder import empty_folder  # noqa: PLC0415 - only those who use it pay

        with empty_folder(self.dir) as folder, self.checkpoint(step, name, **options) as made:
            yield folder
            for each in _files_below(folder):
                made.add(os.path.join(folder, each), each)

    def keep_checkpoints(
        self, last: int = 2, every: int = 0, best: str | None = None, mode: str = "min"
    ) -> None:
        """Which checkpoints this run keeps from now on, here and at the hub: the `last` ones (at least one), those
        whose step is a multiple of `every`, and the one with the best `best`, a metric's name, by `mode` min or
        max. Its value is taken from the checkpoint's metadata, else from the summary when it is saved. What means
        nothing changes nothing, and is said. Raises UsageError if strict.
        """
        newest, multiple = step_of(last), step_of(every)
        named = best is None or isinstance(best, str)
        if (
            newest is None
            or newest < 1
            or multiple is None
            or multiple < 0
            or not named
            or mode not in _MODES
        ):
            cause = (
                f"keep_checkpoints(last={shown(last)}, every={shown(every)}, best={shown(best)}, mode={shown(mode)}) "
                "means nothing"
            )
            advice = "Use last >= 1, every >= 0, a metric's name for best, and mode 'min' or 'max'"
            self._misused("keep", cause, "what was kept before is kept", advice)
            return
        self._keep = {"last": newest, "every": multiple, "mode": mode, "best": best}

    def latest_checkpoint(self, name: str = DEFAULT, run_path: str | None = None) -> SavedCheckpoint | None:
        """The newest complete checkpoint that the history shows, from this node's spool or the hub; None when
        there is none. Continue from it with `run.rewind(found.step + 1)`.
        """
        return next((one for one in self.checkpoints(name, run_path) if one.complete), None)

    def checkpoints(self, name: str | None = None, run_path: str | None = None) -> list[SavedCheckpoint]:
        """The checkpoints that the history shows, newest first. Raises CommError when nobody could be asked."""
        from respool import saved_checkpoint  # noqa: PLC0415 - json, which init() need not pay for

        return saved_checkpoint.listed(self._keeper, name, run_path, self.dir)

    def _retention(self) -> LocalRetention | None:
        """What removes outlived checkpoints; None where a daemon does."""
        from respool.local_retention import LocalRetention  # noqa: PLC0415 - init() need not pay for it

        if self._keeper.tether is not None:
            return None
        with self._lock:
            if self._local_retention is None:
                self._local_retention = LocalRetention(self._earlier_checkpoints)
            return self._local_retention

    def _earlier_checkpoints(self) -> list[Handed]:
        from respool.local_checkpoints import earlier  # noqa: PLC0415 - only a full spool asks for it

        return earlier(self._keeper) if self._keeper.attached.resumed else []

    def _note_checkpoints(self) -> None:
        """The run ends: have the last staged one on disk and, where no daemon does it, all others, noted to be."""
        if not self._unstage() or self._local_retention is None:
            return
        from respool.checkpoint_room import note_synced  # noqa: PLC0415 - loaded by the first checkpoint

        self._local_retention.tidy()
        note_synced(os.path.join(self._keeper.attached.directory, BLOBS))

    def _commit_checkpoint(self, payload: bytes) -> bool:
        with self._lock:
            logged = max(self._last_step, self.starting_step - 1)
            done = self._beside(Kind.CHECKPOINT, payload, logged)
        self._upkeep(time(), urgent=True)
        return done

    def _score(self, metadata: dict[str, Any] | None) -> float | None:
        best = self._keep.get("best")
        found = (metadata or {}).get(best, self._summary_values.get(best)) if best else None
        try:
            return None if found is None else float(found)
        except (TypeError, ValueError):
            cause = f"keep_checkpoints(best={best!r}): its value {found!r:.40} is no number"
            self._misused("score", cause, "this one has no score", "Log a number under that name")
            return None


def _positive(expected: Any) -> int:
    """What is no number of bytes counts as not said."""
    return expected if isinstance(expected, int) and expected > 0 else 0


def _files_below(folder: str) -> Iterator[str]:
    """Their names below it, what links to other folders lead to included, unless they lead back up."""
    for below, folders, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(below)
        folders[:] = sorted(one for one in folders if not _is_above(os.path.join(below, one), here))
        for each in sorted(files):
            yield os.path.relpath(os.path.join(below, each), folder)


def _is_above(folder: str, here: str) -> bool:
    up = os.path.join(os.path.realpath(folder), "")
    return os.path.islink(folder) and os.path.join(here, "").startswith(up)
