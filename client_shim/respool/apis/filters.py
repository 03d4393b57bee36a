"""Filters and orders of `Api.runs`: the part of MongoDB's language that scripts use."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from respool.apis.run import Run
from respool.errors import UsageError

_ABSENT = object()
_PLAIN: dict[str, Callable[[Run], Any]] = {
    "state": lambda run: run.state,
    "name": lambda run: run.id,
    "id": lambda run: run.id,
    "display_name": lambda run: run.name,
    "displayName": lambda run: run.name,
    "tags": lambda run: run.tags,
    "notes": lambda run: run.notes,
    "group": lambda run: run.group,
    "job_type": lambda run: run.job_type,
    "jobType": lambda run: run.job_type,
    "created_at": lambda run: run.created_at,
    "createdAt": lambda run: run.created_at,
    "heartbeat_at": lambda run: run._brief.get("heartbeat_at"),
}


def _in(value: Any, wanted: Any) -> bool:
    return any(one in wanted for one in value) if isinstance(value, list) else value in wanted


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, wanted: bool(value == wanted) or (isinstance(value, list) and wanted in value),
    "$ne": lambda value, wanted: not _OPERATORS["$eq"](value, wanted),
    "$gt": lambda value, wanted: value is not _ABSENT and value > wanted,
    "$gte": lambda value, wanted: value is not _ABSENT and value >= wanted,
    "$lt": lambda value, wanted: value is not _ABSENT and value < wanted,
    "$lte": lambda value, wanted: value is not _ABSENT and value <= wanted,
    "$in": _in,
    "$nin": lambda value, wanted: not _in(value, wanted),
    "$exists": lambda value, wanted: (value is not _ABSENT) == bool(wanted),
    "$regex": lambda value, wanted: isinstance(value, str) and re.search(wanted, value) is not None,
}


def matches(run: Run, filters: dict[str, Any]) -> bool:
    """Whether a run is meant. Raises UsageError naming a key or operator that is unknown."""
    for key, wanted in filters.items():
        if key in {"$and", "$or"}:
            found = [matches(run, one) for one in wanted]
            if not (all(found) if key == "$and" else any(found)):
                return False
        elif not _one(value_of(run, key), key, wanted):
            return False
    return True


def _one(value: Any, key: str, wanted: Any) -> bool:
    if not (isinstance(wanted, dict) and any(str(name).startswith("$") for name in wanted)):
        return _OPERATORS["$eq"](value, wanted)
    for name, operand in wanted.items():
        if name not in _OPERATORS:
            known = ", ".join(sorted([*_OPERATORS, "$and", "$or"]))
            raise UsageError(f"The filter on {key!r} has the operator {name!r}. Known are {known}.")
        try:
            if not _OPERATORS[name](value, operand.isoformat() if isinstance(operand, datetime) else operand):
                return False
        except TypeError:
            return False
    return True


def value_of(run: Run, key: str) -> Any:
    """What a key of a filter or an order means for a run; a marker when the run has no such value."""
    if key in _PLAIN:
        return _PLAIN[key](run)
    root, _, rest = key.partition(".")
    if root not in {"config", "summary_metrics", "summary"} or not rest:
        known = ", ".join(sorted(_PLAIN))
        raise UsageError(
            f"Runs cannot be chosen by {key!r}. Use config.NAME, summary_metrics.NAME or one of {known}."
        )
    values: Any = run.config if root == "config" else run.summary
    for name in (rest, rest.removesuffix(".value")):
        if name in values:
            return values[name]
    for part in rest.removesuffix(".value").split("."):
        values = values.get(part, _ABSENT) if isinstance(values, dict) else _ABSENT
    return values


def ordered(runs: list[Run], order: str) -> list[Run]:
    """Sorted by `+key` or `-key`; runs without the value last."""
    key, falling = order.lstrip("+-"), order.startswith("-")

    def rank(run: Run) -> tuple[bool, Any]:
        value = value_of(run, key)
        return (isinstance(value, (int, float)), value if isinstance(value, (int, float)) else str(value))

    has = [run for run in runs if value_of(run, key) not in (_ABSENT, None)]
    return sorted(has, key=rank, reverse=falling) + [run for run in runs if run not in has]
