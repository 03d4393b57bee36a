"""One line for people, when the first row of a resumed attempt repeats what the run had logged already."""

from __future__ import annotations

from typing import Any

from respool.wire.axes import counts, names_of
from respool.wire.messages import Attached

ROWS = 100
"""How many rows are looked at for a count; a script that has one logs it by then."""


def line_of(
    attached: Attached, path: str, metrics: Any, row: dict[str, Any], at: int, *, named: bool
) -> str | None:
    """The line, "" when the row repeats nothing, None when only a later row can tell. `at` is the row's step,
    which the script `named` or not; `attached` says what was there before, `metrics` how they are defined.
    """
    if at < attached.step:
        return _text(attached, path, "step", at, attached.step - 1)
    for axis in () if named else names_of(metrics):
        value, last = row.get(axis), attached.summary.get(axis)
        if counts(value) and counts(last):
            return _text(attached, path, axis, value, last) if value <= last else ""
    return "" if named else None


def rewound(attached: Attached, path: str, to: int) -> str:
    """The same for run.rewind(to)."""
    return _text(attached, path, "step", to, attached.step - 1) if to < attached.step else ""


def _text(attached: Attached, path: str, axis: str, first: float, last: float) -> str:
    what = f"what it had logged there ({first} to {last})" if first < last else "what it had logged there"
    attempt = attached.attempt_id[:8] if attached.number is None else attached.number
    return (
        f"run {path} continues at {axis} {first}: {what} is hidden, not deleted; "
        f"`respool lineage {path} --cut {attempt} none` shows it again."
    )
