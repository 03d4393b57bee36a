"""Ground truth: what each life of a trainer noted after log() had returned, and whether the hub agrees.

The accounts are of single records, in the order in which they were written. At most one record more than the
truth may be at the hub for each life that was killed: its log() had written, and had not returned or not been
noted yet.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from e2e.processes import Answer, Process, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from e2e.hub_view import HubView

Row = dict[str, Any]


def value_of(attempt_id: str, step: int) -> float:
    """What this attempt logs at this step: nobody else logs the same."""
    return crc32(f"{attempt_id}:{step}".encode()) / 4294967296


def content(step: int, size: int) -> bytes:
    """The only right bytes of a checkpoint of this step."""
    head = step.to_bytes(8, "big")
    block = sha256(head).digest()
    return (head + block * (size // len(block) + 1))[:size]


class Noted(NamedTuple):
    """One call of log() that returned."""

    step: int
    value: float


class Life:
    """One life of a trainer: its process and its notes."""

    def __init__(self, process: Process, truth: str) -> None:
        self.process = process
        self.truth = truth
        self._offset = 0
        self._facts: Row | None = None
        self._noted: list[Noted] = []
        self._remarks: list[str] = []

    @property
    def remarks(self) -> list[str]:
        """What else it noted."""
        self._read()
        return self._remarks

    @property
    def facts(self) -> Row | None:
        """What init() answered, or None while it has not."""
        self._read()
        return self._facts

    @property
    def noted(self) -> list[Noted]:
        self._read()
        return self._noted

    @property
    def last_step(self) -> int:
        noted = self.noted
        return noted[-1].step if noted else -1

    def begun(self, seconds: float = 30.0) -> Row:
        """Wait for what init() answered."""
        return self._await(lambda: self.facts, "init()", seconds)

    def reach(self, step: int, seconds: float = 60.0) -> Life:
        """Wait until this life has logged `step`."""
        return self._await(lambda: self if self.last_step >= step else None, f"step {step} logged", seconds)

    def remark(self, beginning: str, seconds: float = 60.0, count: int = 1) -> str:
        """Wait for the count-th remark that begins so."""

        def found() -> str | None:
            those = [one for one in self.remarks if one.startswith(beginning)]
            return those[count - 1] if len(those) >= count else None

        return self._await(found, f"the remark {beginning!r}", seconds)

    def _await(self, ready: Callable[[], Answer | None], what: str, seconds: float) -> Answer:
        def found() -> Answer | None:
            alive = self.process.alive
            answer = ready()
            assert answer is not None or alive, f"the trainer ended before {what}\n{self.process.words()}"
            return answer

        return until(found, what, seconds, lambda: f"at step {self.last_step}; {self.process.words()}")

    def _read(self) -> None:
        if not os.path.exists(self.truth):
            return
        with open(self.truth, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        for line in data.splitlines():
            if self._facts is None:
                self._facts = json.loads(line)
            elif line[:1] == b"#":
                self._remarks.append(line[2:].decode())
            else:
                step, value = line.split()
                self._noted.append(Noted(int(step), float(value)))


class Account(NamedTuple):
    """The outcome of a comparison."""

    lives: int
    noted: int
    kept: int
    unnoted: int
    history: int


def account(
    view: HubView, project: str, run_id: str, lives: Iterable[Life], *, linear: bool = True
) -> Account:
    """Compare every life with the hub, record by record, and the history with all of them. Raises
    AssertionError with the first difference. `linear`: the history is one line of steps from 0 on.
    """
    begun = [life for life in lives if life.facts is not None]
    shown = view.show(project, run_id)
    assert shown is not None, f"the hub has no run {project}/{run_id}"
    records = view.history(project, run_id, every=True)
    assert shown["lost"] == 0, f"{shown['lost']} records are reported lost"
    by_attempt: dict[str, list[Row]] = {one["attempt_id"]: [] for one in shown["attempts"]}
    numbers = {one["number"]: one["attempt_id"] for one in shown["attempts"]}
    for record in records:
        by_attempt[numbers[record["_attempt"]]].append(record)
    unnoted = sum(_compare(life, by_attempt) for life in begun)
    noted = sum(len(life.noted) for life in begun)
    assert len(records) == noted + unnoted, "the hub has rows that no trainer logged"
    history = view.history(project, run_id)
    if linear:
        check_line(history, by_attempt, shown["attempts"])
        assert not shown["diverged"], f"a branch was made of a line:\n{_line_of(shown['attempts'])}"
    return Account(len(begun), noted, len(records), unnoted, len(history))


def check_line(history: list[Row], by_attempt: dict[str, list[Row]], attempts: Sequence[Row] = ()) -> None:
    """Each step once, in order, from 0 on; each with a value that some attempt logged for that step."""
    steps = [row["_step"] for row in history]
    assert steps == list(range(len(steps))), f"{_first_gap(steps)}\n{_line_of(attempts)}"
    logged = {(row["_step"], row["value"]) for rows in by_attempt.values() for row in rows}
    for row in history:
        assert (row["_step"], row["value"]) in logged, f"nobody logged {row}"


def _compare(life: Life, by_attempt: dict[str, list[Row]]) -> int:
    """How many records more than the truth the hub has of this life: none or one."""
    assert life.facts is not None
    attempt_id = life.facts["attempt_id"]
    assert attempt_id in by_attempt or not life.noted, (
        f"attempt {attempt_id} is not at the hub\n{life.process.words()}"
    )
    found = by_attempt.get(attempt_id, [])
    seqs = [row["_seq"] for row in found]
    assert seqs == sorted(set(seqs)), f"attempt {attempt_id} is out of order or doubled"
    got = [Noted(row["_step"], row["value"]) for row in found]
    noted = life.noted
    for at, (mine, theirs) in enumerate(zip(noted, got, strict=False)):
        assert mine == theirs, f"attempt {attempt_id}, row {at}: logged {mine}, the hub has {theirs}"
        assert theirs.value == value_of(attempt_id, theirs.step), f"attempt {attempt_id}, row {at}: {theirs}"
    assert len(got) >= len(noted), f"attempt {attempt_id}: {len(noted)} rows logged, {len(got)} at the hub"
    assert len(got) <= len(noted) + 1, (
        f"attempt {attempt_id}: {len(got)} rows at the hub, {len(noted)} logged"
    )
    return len(got) - len(noted)


def _line_of(attempts: Sequence[Row]) -> str:
    names = ("number", "state", "parent", "attempt_id", "first_step", "last_step", "branch", "offline")
    return "\n".join(" ".join(f"{name}={one.get(name)}" for name in names) for one in attempts)


def _first_gap(steps: list[int]) -> str:
    at = next(at for at, step in enumerate([*steps, -1]) if step != at)
    return f"{len(steps)} steps; the first out of line is {steps[at : at + 5]} at place {at}"
