"""How rows become a summary, and how the summaries of several writers or attempts become one.

A metric's definition names one way, and the summary holds a plain value; or it names `mean` or several ways
("min,max"), and the summary holds a dict of them. A mean has its `count` with it, so that it can be continued, and
joined with another, by whoever has the summary and nothing else.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

WAYS = ("last", "min", "max", "first", "mean")
_CHOOSE = {"min": min, "max": max}
_NONE_EARLIER: frozenset[str] = frozenset()


def merge_summary(summary: dict[str, Any], row: dict[str, Any], metrics: dict[str, Any] | None) -> None:
    """Fold one row into a summary. `metrics` maps a name to {"summary": last|min|max|first|mean|none, or several of
    them with commas between} definitions.
    """
    if not metrics or not isinstance(metrics, dict):
        summary.update(row)
        return
    for key, value in row.items():
        if key not in metrics:
            summary[key] = value
            continue
        how = _how(metrics, key)
        several = ways_of(how)
        if several:
            _keep(summary, key, _taken(summary.get(key), value, several))
        else:
            _merge_one(summary, key, value, how)


def join_summary(
    summary: dict[str, Any],
    other: dict[str, Any],
    metrics: dict[str, Any] | None,
    *,
    earlier: frozenset[str] = _NONE_EARLIER,
    whole: bool = False,
) -> None:
    """Fold what another writer's rows came to into a summary. `earlier`: keys whose first value is the other's.
    `whole`: the other's means count what is summed up here already.
    """
    for key, value in other.items():
        how = _how(metrics or {}, key)
        several = ways_of(how)
        if several and isinstance(value, dict):
            known = _parts(summary.get(key))
            old = {name: known[name] for name in known if name not in {"mean", "count"}} if whole else known
            _keep(summary, key, _joined(old, value, several, first=key in earlier))
        elif several:
            _keep(summary, key, _taken(summary.get(key), value, several))
        elif how == "first" and key in earlier:
            summary[key] = value
        else:
            _merge_one(summary, key, value, how)


def ways_of(how: Any) -> tuple[str, ...]:
    """The ways of a definition that makes a dict; none for one that makes a plain value, or means nothing."""
    if not isinstance(how, str) or (how != "mean" and "," not in how):
        return ()
    return tuple(word for word in how.split(",") if word in WAYS)


def takes_first(how: Any) -> bool:
    """Whether a definition asks for the first value."""
    return how == "first" or "first" in ways_of(how)


def number(value: Any) -> bool:
    """Whether it is one that has a place among others: no bool, no NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value  # noqa: PLR0124 - NaN


def _merge_one(summary: dict[str, Any], key: str, value: Any, how: Any) -> None:
    if how in ("min", "max") and number(summary.get(key)):
        summary[key] = _CHOOSE[how](summary[key], value) if number(value) else summary[key]
    elif how != "none" and not (how == "first" and key in summary):
        summary[key] = value


def _taken(known: Any, value: Any, several: tuple[str, ...]) -> dict[str, Any]:
    """A dict of ways with one more value in it."""
    one = {"last": value, "first": value}
    if number(value):
        one |= {"min": value, "max": value}
        if isfinite(value) if isinstance(value, float) else abs(value) < 1 << 64:
            one |= {"mean": float(value), "count": 1}
    return _joined(_parts(known), one, several)


def _joined(
    known: dict[str, Any], new: dict[str, Any], several: tuple[str, ...], *, first: bool = False
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for way in several:
        if way == "mean":
            found |= _mean(known, new)
            continue
        values = [side[way] for side in (known, new) if way in side]
        if way in _CHOOSE:
            values = [value for value in values if number(value)]
        if values:
            found[way] = (
                _CHOOSE[way](values) if way in _CHOOSE else values[-1 if first or way == "last" else 0]
            )
    return found


def _mean(known: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    before, more = _count(known), _count(new)
    if not before or not more:
        side = known if before else new
        return {"mean": side["mean"], "count": side["count"]} if before or more else {}
    share = more / (before + more)
    return {"mean": known["mean"] + (new["mean"] - known["mean"]) * share, "count": before + more}


def _count(parts: dict[str, Any]) -> int:
    """How many values the mean is of; 0 where there is none to go on with."""
    count, mean = parts.get("count"), parts.get("mean")
    if not isinstance(count, int) or isinstance(count, bool) or not isinstance(mean, float):
        return 0
    return count if 0 < count < 1 << 63 and isfinite(mean) else 0


def _parts(known: Any) -> dict[str, Any]:
    """What is known as a dict of ways. A plain number was the last value, or the best, before this definition."""
    if isinstance(known, dict):
        return known
    return dict.fromkeys(("first", "min", "max"), known) if number(known) else {}


def _keep(summary: dict[str, Any], key: str, parts: dict[str, Any]) -> None:
    if parts:
        summary[key] = parts


def _how(metrics: dict[str, Any], key: str) -> Any:
    definition = metrics.get(key)
    return definition.get("summary", "last") if isinstance(definition, dict) else "last"
