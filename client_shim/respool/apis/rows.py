"""Rows of a history: a few of many, evenly spread, and as a DataFrame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from respool import notices


def spread(rows: Iterator[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most `most` rows, evenly spread, the first and the last among them. Holds up to 16 times `most` at once."""
    most = max(int(most), 1)
    kept: list[dict[str, Any]] = []
    last: dict[str, Any] | None = None
    stride = 1
    for at, row in enumerate(rows):
        last = row
        if at % stride == 0:
            kept.append(row)
        if len(kept) >= 16 * most:
            kept, stride = kept[::2], 2 * stride
    if last is not None and kept[-1] is not last:
        kept.append(last)
    if len(kept) <= most:
        return kept
    step = (len(kept) - 1) / max(most - 1, 1)
    return [kept[round(index * step)] for index in range(most)]


def flattened(sample: dict[str, Any], prefix: str = "system.") -> Iterator[tuple[str, Any]]:
    """The values of a sample of load, by names like `system.cpu` and `system.gpus.0.utilization`."""
    for key, value in sample.items():
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for at, one in enumerate(value):
                rest = {name: item for name, item in one.items() if name != "index"}
                yield from flattened(rest, f"{prefix}{key}.{one.get('index', at)}.")
        else:
            yield key if key.startswith("_") else f"{prefix}{key}", value


def framed(rows: list[dict[str, Any]]) -> Any:
    """A pandas DataFrame; the list itself where pandas is not installed, which is said once."""
    try:
        import pandas as pd  # noqa: PLC0415 - only for who asks for frames
    except ImportError:
        notices.warn(
            "pandas", "pandas is not installed: history() returns a list of dicts. pip install pandas."
        )
        return rows
    return pd.DataFrame(rows)
