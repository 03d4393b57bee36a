"""Which run an auto-resume continues: `init(resume=True)` without an id.

In this order (`base` is derived from the scheduler's identity of the job and the program, `remembered` is what
the state file names):

1. `base`, `base-2`, `base-3` ...: the first that is neither alive nor finished, if it is known, is resumed;
   those before it are the further runs of the same program in one job, or over;
2. `remembered`, if it is known to nobody as alive or finished, is resumed (or created, where nobody knows it);
3. the first of 1. that is unknown begins as a new run, so that the next life of the job finds it;
4. without a scheduler, `fresh` begins.

The same function decides at the hub, in the daemon and in the shim; `look` is what each of them knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from itertools import count
from typing import NamedTuple

from respool.wire.limits import MAX_RUN_ID


class Standing(Enum):
    """What is known of a run that might be continued."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    FINISHED = "finished"
    OPEN = "open"
    """It ended in any other way, or fell silent: it can be continued."""


Look = Callable[[str], Standing]


class Choice(NamedTuple):
    """The run, and the resume mode that it is attached with: `allow` or `none`."""

    run_id: str
    resume: str


def choose(base: str, remembered: str, fresh: str, look: Look) -> Choice:
    """The run to continue, or the new one to begin. `base` and `remembered` may be empty."""
    new = fresh
    if base:
        found = next(one for one in ordinals(base) if look(one) in {Standing.UNKNOWN, Standing.OPEN})
        if look(found) is Standing.OPEN:
            return Choice(found, "allow")
        new = found
    if remembered and look(remembered) in {Standing.UNKNOWN, Standing.OPEN}:
        return Choice(remembered, "allow")
    # A job's run may exist where nobody can be asked now: whoever learns of it later must be free to join the two.
    return Choice(new, "allow" if base else "none")


def homes(base: str, remembered: str, fresh: str, look: Look) -> Iterator[str]:
    """The runs in which the launch of an auto-resuming process may have an attempt already, which the process then
    joins: looked for in this order, before `choose`, so that all ranks end in the run that the first one chose.
    """
    if base:
        for one in ordinals(base):
            if look(one) is Standing.UNKNOWN:
                break
            yield one
    if remembered:
        yield remembered
    yield fresh


def ordinals(base: str) -> Iterator[str]:
    """`base`, `base-2`, `base-3` ..., each short enough for a run id."""
    yield base
    for number in count(2):
        ending = f"-{number}"
        yield base[: MAX_RUN_ID - len(ending)] + ending
