"""Alerts: what a script wants people to see. Kept with the run, shown by `respool show`."""

from __future__ import annotations

from enum import Enum
from typing import Any

from respool import notices
from respool.wire.limits import MAX_ALERTS

WAIT_SECONDS = 60.0
MAX_TITLE = 200
MAX_TEXT = 4000


class AlertLevel(Enum):
    """How urgent an alert is."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


def level_of(value: Any) -> str:
    """A level's name from an AlertLevel, its name in any case, or None; an unknown one is INFO, with a warning."""
    if value is None:
        return AlertLevel.INFO.value
    name = str(getattr(value, "value", value)).upper()
    name = {"WARNING": "WARN"}.get(name, name)
    if name not in AlertLevel.__members__:
        cause = f"alert(level={notices.shown(value, 40)}): known are INFO, WARN, ERROR"
        notices.misused(f"level {name}", cause, "INFO it is", "Pass one of them")
        return AlertLevel.INFO.value
    return name


def raised(
    known: Any, title: Any, text: Any, level: Any, wait_duration: Any, now: float
) -> list[dict[str, Any]] | None:
    """The alerts of a run with one more; None while the last one of this title is younger than `wait_duration`
    (seconds, or a timedelta; a minute unless given).
    """
    before: list[dict[str, Any]] = list(known) if isinstance(known, list) else []
    alert = {
        "title": str(title)[:MAX_TITLE],
        "text": str(text)[:MAX_TEXT],
        "level": level_of(level),
        "time": now,
    }
    wait = _seconds(wait_duration)
    for one in before:
        if one.get("title") == alert["title"] and 0.0 <= now - float(one.get("time") or 0.0) < wait:
            return None
    return [*before, alert][-MAX_ALERTS:]


def _seconds(value: Any) -> float:
    if value is None:
        return WAIT_SECONDS
    return float(value.total_seconds() if hasattr(value, "total_seconds") else value)
