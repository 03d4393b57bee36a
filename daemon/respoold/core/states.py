"""Exit states: what a run is called, from what is known of its newest attempt.

Facts are collected, the state is derived: nothing is final against evidence, so nothing is stored but facts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from respool.wire.limits import SILENCE_BOUND, SILENT_AFTER


class State(StrEnum):
    RUNNING = "running"
    SILENT = "silent"
    PREEMPTING = "preempting"
    PREEMPTED = "preempted"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"
    SUPERSEDED = "superseded"


class Facts(NamedTuple):
    """What is known of one attempt.

    `marked`: the script said mark_preempting(). `noticed`: a preemption notice stands that nobody withdrew.
    `ended`: its exit was recorded (finish(): `explicit`, an exception, the interpreter's end) with `exit_code`.
    `gone`: its daemon saw the process end; without `ended` there was no exit status. `quiet`: seconds of hub
    uptime since anything was heard; None when nobody has listened yet.
    """

    marked: bool = False
    ended: bool = False
    exit_code: int | None = None
    gone: bool = False
    superseded: bool = False
    quiet: float | None = 0.0
    attended: bool = True
    noticed: bool = False
    explicit: bool = False


def state_of(facts: Facts) -> State:
    """What the facts amount to:

                  exit 0      exit != 0    gone, no exit status    silent for 5 min
        marked    finished    preempted    preempted               preempted
        noticed   finished*   preempted    preempted               preempted
        neither   finished    failed       crashed                 crashed

    * after an explicit finish(), else preempted: a trainer that catches SIGTERM and exits 0 is not done.
    `attended` is False for an attempt that no daemon watches (a carried spool): it is silent, never crashed.
    """
    if facts.ended:
        return _ended(facts)
    if facts.superseded:
        return State.SUPERSEDED
    if facts.gone or (facts.attended and facts.quiet is not None and facts.quiet >= SILENCE_BOUND):
        return State.PREEMPTED if facts.marked or facts.noticed else State.CRASHED
    if not facts.attended or (facts.quiet is not None and facts.quiet >= SILENT_AFTER):
        return State.SILENT
    return State.PREEMPTING if facts.marked or facts.noticed else State.RUNNING


def _ended(facts: Facts) -> State:
    if facts.exit_code == 0:
        unfinished = facts.noticed and not (facts.marked or facts.explicit)
        return State.PREEMPTED if unfinished else State.FINISHED
    return State.PREEMPTED if facts.marked or facts.noticed else State.FAILED


ALIVE = frozenset({State.RUNNING, State.PREEMPTING})
"""States in which another process may not take the run over unasked."""
