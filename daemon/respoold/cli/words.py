"""Numbers, sizes, times and states as people say them. Pure: `now` is an argument."""

from __future__ import annotations

import json
import math
import time
from typing import Any

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
ELLIPSIS = "…"


def count(number: float | None) -> str:
    """An integer in groups of three: 1 240 000. None is a dash."""
    return "-" if number is None else f"{int(number):,}".replace(",", " ")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `1 240 rows`."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def size(octets: float | None) -> str:
    """Bytes with three digits at most: 512 B, 1.5 KiB, 48 MiB."""
    if octets is None:
        return "-"
    value, unit = float(octets), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1
    return f"{value:.{digits}f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """At most two units: 14 s, 3 min 20 s, 2 h 05 min, 3 days 4 h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60:02d} s" if whole % 60 else "")
    if whole < 48 * 3600:
        minutes = whole % 3600 // 60
        return f"{whole // 3600} h" + (f" {minutes:02d} min" if minutes else "")
    hours = whole % 86400 // 3600
    return f"{whole // 86400} days" + (f" {hours} h" if hours else "")


def moment(epoch: float) -> str:
    """A point in time, on this machine's clock: 2026-11-30 14:05."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch))


def ago(epoch: float | None, now: float) -> str:
    """How long ago a moment was, in one unit: just now, 14 s ago, 3 min ago, 2 days ago. None is a dash.

    Clocks of two machines differ: what lies in the future by a little is just now.
    """
    if epoch is None:
        return "-"
    seconds = now - epoch
    if seconds < 2:
        return "just now" if seconds > -60 else "in the future"
    for unit, length, until in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 48 * 3600)):
        if seconds < until:
            return f"{int(seconds // length)} {unit} ago"
    return f"{int(seconds // 86400)} days ago"


def value(item: Any) -> str:
    """A logged value in one cell: six significant digits, no line breaks."""
    if item is None:
        return "-"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, float):
        return f"{item:.6g}" if math.isfinite(item) else str(item)
    if isinstance(item, (dict, list)):
        return clean(json.dumps(item, ensure_ascii=False))
    return clean(str(item))


def clean(text: str) -> str:
    """Text of strangers without control characters: a run's name must not move anybody's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def cut(text: str, most: int) -> str:
    """A text of at most `most` characters, or its beginning and how many there are."""
    return text if len(text) <= most else f"{text[:most]}{ELLIPSIS} ({count(len(text))} characters)"


def state(run: dict[str, Any], now: float) -> str:
    """A run's state in words, with what waits for the hub: `running, 1 240 records waiting on node7`."""
    words = str(run.get("state") or "unknown")
    if words == "silent" and run.get("heartbeat_at") is not None:
        words += f", last heard {ago(run['heartbeat_at'], now)}"
    waiting = int(run.get("pending_records") or 0)
    if waiting:
        words += f", {counted(waiting, 'record')} waiting on {clean(str(run.get('node') or 'its node'))}"
    lost = int(run.get("lost") or 0)
    if lost:
        words += f", {counted(lost, 'row')} lost"
    return words
