"""How much a project's files and checkpoints may hold. What would go beyond it is refused, with what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from respool_hub.service.refusal import refuse
from respool_hub.store.ports import Transaction
from respool_hub.store.rows import RunRow

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@contextmanager
def within(tx: Transaction, run: RunRow, cap: int, what: str, size: int) -> Iterator[None]:
    """What happens in the block may not make the run's project grow beyond `cap` bytes; 0: it may. Raises RefusalError
    "quota" behind it, which undoes it. What is stored twice counts once, what was dropped not at all.
    """
    if not cap:
        yield
        return
    before = tx.held(run.entity, run.project)
    yield
    after = tx.held(run.entity, run.project)
    if after > max(before, cap):
        cause = (
            f"Project {run.entity}/{run.project} holds {_size(before)} of the {_size(cap)} that it may; "
            f"{what} has {_size(size)}, and {_size(after - cap)} are missing."
        )
        advice = "Drop what is not needed (`respool checkpoints RUN --drop STEP`), or ask the hub's admin for more."
        raise refuse("quota", cause, advice, missing=after - cap)


def _size(octets: float) -> str:
    for unit in _UNITS[:-1]:
        if octets < 1024:
            return f"{octets:.1f} {unit}" if unit != "B" else f"{octets:.0f} B"
        octets /= 1024
    return f"{octets:.1f} {_UNITS[-1]}"
